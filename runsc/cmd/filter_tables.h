#ifndef CLOISTER_RUNSC_CMD_FILTER_TABLES_H_
#define CLOISTER_RUNSC_CMD_FILTER_TABLES_H_

#include <string>
#include <string_view>

namespace cloister::cmd {

// "runsc debug filters" prints what was added here, in the order of adding. The tables themselves
// belong to the rooms whose processes they bind; main hands them over before RunscMain.
void AddFilterRule(std::string_view process, std::string_view name, std::string_view reason);

// One block for each process: its name and the number of its rules, then a line a rule.
std::string FormatFilters();

}  // namespace cloister::cmd

#endif  // CLOISTER_RUNSC_CMD_FILTER_TABLES_H_
