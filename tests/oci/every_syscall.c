// A hostile guest: calls every system call number with arguments that no program would give, for as
// many seconds as its first argument says; the second seeds it. Each round runs in a forked child
// with a deadline of its own, as many calls never return or end their caller, and as each child
// spoils itself: descriptors, memory, signals, limits. Threads of the child race changes of the
// arguments' memory. Ends with 42 when the time is over; a crash of a child is no matter.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kLast = 512, kChildren = 4, kCallers = 3, kChildMs = 400, kPages = 16, kPage = 4096 };

static uint64_t state;

static uint64_t Random(uint64_t* seed) {
  uint64_t z = (*seed += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint64_t Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint32_t* counts;  // calls of each number, shared by all children
static char* memory;      // kPages that are there, then one that is not
static const char* const kWords[] = {"/",
                                     "",
                                     ".",
                                     "..",
                                     "/tmp/x",
                                     "/proc/self/mem",
                                     "/proc/self/exe",
                                     "/proc/self/fd/0",
                                     "/dev/null",
                                     "/dev/ptmx",
                                     "/dev/zero",
                                     "/proc/1/ns/net",
                                     "/tmp/../tmp/./y",
                                     "tmpfs",
                                     "proc",
                                     "/sys",
                                     "user.x",
                                     "security.capability",
                                     "/proc/self/task",
                                     "/proc/self/maps",
                                     "/proc/sys/kernel/hostname"};

// Things that kernels have been broken with.
static const uint64_t kOdd[] = {0,
                                1,
                                2,
                                3,
                                7,
                                8,
                                16,
                                63,
                                64,
                                100,
                                128,
                                255,
                                256,
                                4095,
                                4096,
                                4097,
                                65535,
                                65536,
                                1 << 20,
                                INT_MAX,
                                (uint64_t)INT_MIN,
                                UINT_MAX,
                                (uint64_t)LONG_MAX,
                                (uint64_t)LONG_MIN,
                                UINT64_MAX,
                                UINT64_MAX - 1,
                                (uint64_t)-4095,
                                (uint64_t)-4096,
                                0x7fffffffe000,
                                0x7ffffffff000,
                                0x7fffffffffff,
                                0x800000000000,
                                0xffff800000000000,
                                0xffffffff81000000,
                                0xffffffffff600000,
                                0x8000000000000000,
                                1ull << 62,
                                (uint64_t)AT_FDCWD,
                                0xdeadbeef,
                                0x4141414141414141,
                                0x1000,
                                0xfff,
                                0x10000000000};

static uint64_t Argument(uint64_t* seed) {
  const uint64_t choice = Random(seed);
  switch (choice % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
      return kOdd[(choice >> 8) % (sizeof kOdd / sizeof *kOdd)];
    case 4:
    case 5:
    case 6:
      return (uint64_t)(memory + (choice >> 8) % (kPages * kPage));  // any alignment
    case 7:
    case 8:
      return (uint64_t)(memory + (kPages * kPage - (choice >> 8) % 64));  // runs over the end
    case 9: {
      char* const at = memory + (choice >> 16) % (kPages * kPage - 64);
      strcpy(at, kWords[(choice >> 40) % (sizeof kWords / sizeof *kWords)]);
      return (uint64_t)at;
    }
    case 10:
    case 11:
    case 12:
      return (choice >> 8) % 48;  // descriptors, small numbers
    case 13:
      return 1ull << ((choice >> 8) % 64);
    case 14:
      return Random(seed);
    default:
      return (uint64_t)(int64_t)(int32_t)Random(seed);
  }
}

static void OpenThings(uint64_t seed) {
  int pair[2];
  for (int i = 0; i < 2; i++) {
    if (pipe(pair) != 0 || socketpair(AF_UNIX, i ? SOCK_DGRAM : SOCK_STREAM, 0, pair) != 0) break;
    eventfd(3, EFD_NONBLOCK);
    timerfd_create(CLOCK_MONOTONIC, 0);
    memfd_create("m", MFD_ALLOW_SEALING);
    epoll_create1(0);
    open(kWords[Random(&seed) % 21], i ? O_RDONLY : O_RDWR);
    open("/tmp", O_TMPFILE | O_RDWR, 0600);
    open("/proc/self", O_PATH);
    open("/dev/ptmx", O_RDWR | O_NOCTTY);
    socket(AF_INET, i ? SOCK_DGRAM : SOCK_STREAM, 0);
    socket(AF_NETLINK, SOCK_RAW, 0);
  }
}

// These would only end the child's work early, or sleep it away.
static int Skipped(long number, uint64_t choice) {
  switch (number) {
    case SYS_exit:
    case SYS_exit_group:
    case SYS_pause:
    case SYS_vfork:
    case SYS_kill:
    case SYS_tkill:
    case SYS_tgkill:
    case SYS_rt_sigreturn:
    case SYS_rt_sigsuspend:
    case SYS_clone:
    case SYS_clone3:
    case SYS_fork:
    case SYS_reboot:
    case SYS_munmap:
    case SYS_execve:
    case SYS_execveat:
      return choice % 8 != 0;  // rare, not never
    default:
      return 0;
  }
}

static int null;  // opened before a child could mount something over it
static volatile pid_t callers[kCallers];

static void OnNudge(int signal) { (void)signal; }

// Changes the arguments' memory under the callers, and gets them out of calls that wait.
static void* Race(void* argument) {
  uint64_t seed = (uint64_t)argument;
  for (unsigned i = 0;; i++) {
    if (i % 20000 == 0) {
      const pid_t caller = callers[i / 20000 % kCallers];
      if (caller != 0) syscall(SYS_tgkill, getpid(), caller, SIGUSR1);
    }
    volatile uint64_t* const at = (uint64_t*)(memory + Random(&seed) % (kPages * kPage / 8) * 8);
    *at = Random(&seed) % 3 ? Argument(&seed) : Random(&seed);
  }
  return NULL;
}

struct Plan {
  uint64_t seed;
  int index;
  long first;  // each of a child's threads walks all numbers from another place
};

static void* Call(void* argument) {
  struct Plan plan = *(struct Plan*)argument;
  const pid_t parent = getppid(), self = getpid();
  callers[plan.index] = gettid();
  for (long i = 0;; i++) {
    uint64_t a[6];
    long number = (plan.first + i) % (kLast + 8);
    if (number > kLast) number = (long)Random(&plan.seed);  // far beyond, and negative
    if (Skipped(number, Random(&plan.seed))) continue;
    for (int k = 0; k < 6; k++) a[k] = Argument(&plan.seed);
    // Its keeper and its brothers must live, that the time is spent.
    const int kills = number == SYS_kill || number == SYS_tkill || number == SYS_tgkill ||
                      number == SYS_rt_sigqueueinfo || number == SYS_rt_tgsigqueueinfo ||
                      number == SYS_pidfd_send_signal || number == SYS_ptrace ||
                      number == SYS_process_vm_writev;
    if (kills && ((pid_t)a[0] <= 1 || (pid_t)a[0] == parent || (pid_t)a[0] != self)) a[0] = (uint64_t)self;
    if (number == SYS_prlimit64 || number == SYS_setpgid) a[0] = 0;
    if (number >= 0 && number <= kLast) __atomic_add_fetch(&counts[number], 1, __ATOMIC_RELAXED);
    syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (getpid() != self) _exit(0);  // forked: nobody would set it a deadline
  }
  return NULL;
}

static void Child(uint64_t seed) {
  for (int i = 1; i < NSIG; i++) signal(i, i % 3 ? SIG_IGN : SIG_DFL);
  const struct sigaction nudge = {.sa_handler = OnNudge};
  sigaction(SIGUSR1, &nudge, NULL);
  for (int i = 0; i < 3; i++) dup2(null, i);
  if (seed & 1) setpgid(0, 0);
  if ((seed & 6) == 6 && setuid(1000) != 0) _exit(1);
  OpenThings(seed);
  static struct Plan plans[kCallers];
  for (int i = 0; i < kCallers; i++) {
    plans[i] = (struct Plan){Random(&seed), i, (long)(seed % kLast) + i * (kLast / kCallers)};
    pthread_t thread;
    if (i != 0) pthread_create(&thread, NULL, Call, &plans[i]);
  }
  pthread_t racer;
  pthread_create(&racer, NULL, Race, (void*)Random(&seed));
  Call(&plans[0]);
}

struct Running {
  pid_t pid;
  uint64_t until;
};

static void Reap(struct Running* running) {
  int status;
  pid_t ended;
  while ((ended = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
    for (int i = 0; i < kChildren; i++) {
      if (running[i].pid == ended) running[i].pid = 0;
    }
  }
}

int main(int argc, char** argv) {
  const uint64_t end = Now() + 1000 * (uint64_t)(argc > 1 ? atoi(argv[1]) : 60);
  state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
  signal(SIGHUP, SIG_IGN);
  signal(SIGALRM, SIG_IGN);
  memory = mmap(NULL, (kPages + 1) * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory + kPages * kPage, kPage, PROT_NONE) != 0) return 1;
  null = open("/dev/null", O_RDWR);
  counts =
      mmap(NULL, (kLast + 1) * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (counts == MAP_FAILED || null < 0) return 1;
  struct Running running[kChildren] = {{0, 0}};
  long children = 0;
  while (Now() < end) {
    for (int i = 0; i < kChildren; i++) {
      if (running[i].pid != 0 && Now() > running[i].until) kill(running[i].pid, SIGKILL);
      if (running[i].pid != 0) continue;
      const uint64_t seed = Random(&state);
      const pid_t pid = fork();
      if (pid == 0) Child(seed);
      if (pid < 0) continue;
      children++;
      running[i] = (struct Running){pid, Now() + kChildMs};
    }
    Reap(running);
    const struct timespec moment = {0, 5000000};
    nanosleep(&moment, NULL);  // NOLINT(sleep): the deadlines of the children  // NOLINT(sleep): children
                               // that hang are found by the clock alone
  }
  for (int i = 0; i < kChildren; i++) {
    if (running[i].pid != 0) kill(running[i].pid, SIGKILL);
  }
  long calls = 0, missed = 0;
  for (int i = 0; i <= kLast; i++) {
    calls += counts[i];
    if (counts[i] == 0) missed++;
  }
  printf("children %ld\ncalls %ld\nnumbers not called %ld\n", children, calls, missed);
  fflush(stdout);
  return 42;
}
