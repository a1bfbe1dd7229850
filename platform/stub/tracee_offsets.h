// What tracee.S knows of the layout: plain numbers. Included by assembly and by C++.
#ifndef CLOISTER_PLATFORM_STUB_TRACEE_OFFSETS_H_
#define CLOISTER_PLATFORM_STUB_TRACEE_OFFSETS_H_

#define TRACEE_EXCHANGE_OFFSET 16
#define TRACEE_MAP_FILE_OFFSET 32
#define TRACEE_SOCKET 3

#endif  // CLOISTER_PLATFORM_STUB_TRACEE_OFFSETS_H_
