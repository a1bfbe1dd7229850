#ifndef CLOISTER_SENTRY_FS_PROC_NET_TEXT_H_
#define CLOISTER_SENTRY_FS_PROC_NET_TEXT_H_

#include <string>

#include "sentry/task/kernel.h"

// The text of /proc/net's files. The sandbox has one network namespace.

namespace cloister::proc {

// What the stack tells of its interfaces and routes.
std::string NetDevText();
std::string NetRouteText();
std::string NetIfInet6Text();

// Sockets are those that processes have open.
std::string NetTcpText(task::Kernel& kernel);
std::string NetTcp6Text(task::Kernel& kernel);
std::string NetUdpText(task::Kernel& kernel);
std::string NetUdp6Text(task::Kernel& kernel);
std::string NetRawText(task::Kernel& kernel);
std::string NetRaw6Text(task::Kernel& kernel);
std::string NetUnixText(task::Kernel& kernel);
std::string NetSockStatText(task::Kernel& kernel);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_NET_TEXT_H_
