#include "runsc/cmd/verb.h"

namespace cloister::cmd {
namespace {

constexpr int kExecFailure = 255;

constexpr Verb kVerbs[] = {
    {"create", "make a container from a bundle; start runs it", RunCreate},
    {"start", "run a created container's process", RunStart},
    {"run", "create and start a container", RunRun},
    {"do", "run a command on this machine's own files, writes staying in memory", RunDo},
    {"exec", "run one more process in a container", RunExec, kExecFailure},
    {"state", "print a container's state as JSON", RunState},
    {"list", "list containers", RunList},
    {"ps", "list a container's processes", RunPs},
    {"kill", "send a signal to a container", RunKill},
    {"pause", "stop all processes of a container for a while", RunPause},
    {"resume", "let a paused container go on", RunResume},
    {"wait", "wait for a container's end", RunWait},
    {"delete", "remove a container", RunDelete},
    {"update", "change a container's limits", RunUpdate},
    {"events", "print what a container uses", RunEvents},
    {"features", "print what this runtime can do", RunFeatures},
    {"spec", "write a config.json to begin with", RunSpec},
    {"serve", "run commands and programs of system calls in fresh sandboxes, for gRPC clients", RunServe},
    {"install", "make this runsc known to Docker and containerd", RunInstall},
    {"uninstall", "take back what install has written", RunUninstall},
    {"debug", "look inside: filters, unimplemented ID, tasks ID, gofer ID", RunDebug},
};

}  // namespace

std::span<const Verb> AllVerbs() { return kVerbs; }

}  // namespace cloister::cmd
