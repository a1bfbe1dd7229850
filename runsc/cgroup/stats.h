#ifndef CLOISTER_RUNSC_CGROUP_STATS_H_
#define CLOISTER_RUNSC_CGROUP_STATS_H_

#include <cstdint>
#include <string>

#include "runsc/cgroup/group.h"

namespace cloister::cgroup {

// One line of "runsc events": {"type":"stats","id":…,"data":{…}} with runc's names.
std::string FormatStats(const Group& group, const std::string& id);

// How often the host's kernel has killed in the group because its memory was used up.
uint64_t OomKills(const Group& group);

}  // namespace cloister::cgroup

#endif  // CLOISTER_RUNSC_CGROUP_STATS_H_
