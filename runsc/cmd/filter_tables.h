#ifndef CLOISTER_RUNSC_CMD_FILTER_TABLES_H_
#define CLOISTER_RUNSC_CMD_FILTER_TABLES_H_

#include <string>
#include <string_view>

namespace cloister::cmd {

// "runsc debug filters" prints the allow-lists of the sandbox's processes. The tables belong to the
// rooms whose processes they bind; main, which knows them all, hands them over.

// Called when they are asked for, with --platform's value; calls AddFilterRule once for each rule.
void SetFilterSource(void (*add_all)(std::string_view platform));

void AddFilterRule(std::string_view process, std::string_view name, std::string_view reason);

// "runsc debug syscalls" likewise prints the guest's system calls.
void SetSyscallSource(std::string (*as_json)());
std::string FormatSyscalls();

// One block for each process: its name and the number of its rules, then a line a rule.
std::string FormatFilters(std::string_view platform);

}  // namespace cloister::cmd

#endif  // CLOISTER_RUNSC_CMD_FILTER_TABLES_H_
