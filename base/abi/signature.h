#ifndef CLOISTER_BASE_ABI_SIGNATURE_H_
#define CLOISTER_BASE_ABI_SIGNATURE_H_

#include <cstdint>

// What a system call's arguments are: the words with which syscall_signatures.inc describes each of them.
// Everything here is a constant; the stub derives its shapes from it at compile time.

namespace cloister::abi {

// One named value, and a list of them: the flags or the choices of an argument.
struct Word {
  uint64_t value;
  const char* name;
};
struct Words {
  const Word* list;
  uint32_t count;
  const Word* begin() const { return list; }
  const Word* end() const { return list + count; }
};

// What a number stands for that one call gives and another takes.
enum class Resource : uint8_t {
  kNone,
  kFd,  // any descriptor; the following are kinds of it
  kDirectory,
  kPipe,
  kSocket,
  kEpoll,
  kEventFd,
  kTimerFd,
  kSignalFd,
  kInotify,
  kQueue,
  kPidFd,
  kPid,
  kTimer,      // of timer_create
  kSharedMem,  // shmget
  kSemaphore,  // semget
  kMessages,   // msgget
  kAio,        // io_setup
  kWatch,      // inotify_add_watch
  kAddress,    // mmap, shmat, mremap
};

struct Layout;

struct Arg {
  enum class Kind : uint8_t {
    kNone,
    kInt,  // 32 bits, signed
    kLong,
    kUint,
    kHex,
    kResource,
    kDirFd,  // a descriptor or AT_FDCWD
    kMode,
    kSize,
    kUser,  // a user's or group's number
    kSignal,
    kFlags,   // words or-ed together
    kChoice,  // one of the words
    kPath,
    kText,     // a string that is no path
    kAddress,  // a place in memory that is not read or written
    kBytes,
    kStruct,
    kStrings,   // a vector of strings, as argv
    kPointers,  // a vector of pointers to `layout`
  };
  enum class Way : uint8_t { kNone, kIn, kOut, kBoth };
  static constexpr int8_t kOne = -1;

  Kind kind = Kind::kNone;
  Way way = Way::kNone;
  Resource resource = Resource::kNone;
  bool windowed = false;  // goes through the context page's window where it can: platform/stub/shapes.h
  // The argument (or field) that tells how many there are, or kOne; `in_bytes`: how many bytes.
  int8_t count_arg = kOne;
  bool in_bytes = false;
  const Words* words = nullptr;
  const Layout* layout = nullptr;

  constexpr Arg Windowed() const {
    Arg arg = *this;
    arg.windowed = true;
    return arg;
  }
};

// A member of a struct; an argument's count_arg is then the index of another member.
struct Field {
  uint16_t offset;
  uint8_t width;  // bytes: 1, 2, 4, 8
  Arg arg;
};
struct Fields {
  const Field* list;
  uint32_t count;
  const Field* begin() const { return list; }
  const Field* end() const { return list + count; }
};

// A struct of Linux' interface. Without fields it is just so many bytes.
struct Layout {
  const char* name;
  uint16_t size;
  const Fields* fields = nullptr;
};

struct Signature {
  uint16_t number;
  const char* name;
  Arg args[6] = {};
  Resource gives = Resource::kNone;  // what a result that is no error stands for

  constexpr int arity() const {
    int count = 0;
    while (count < 6 && args[count].kind != Arg::Kind::kNone) ++count;
    return count;
  }
};

// ---- The vocabulary ----

constexpr Arg Plain(Arg::Kind kind) { return Arg{.kind = kind}; }
constexpr Arg Int() { return Plain(Arg::Kind::kInt); }
constexpr Arg Long() { return Plain(Arg::Kind::kLong); }
constexpr Arg Uint() { return Plain(Arg::Kind::kUint); }
constexpr Arg Hex() { return Plain(Arg::Kind::kHex); }
constexpr Arg DirFd() { return Plain(Arg::Kind::kDirFd); }
constexpr Arg Mode() { return Plain(Arg::Kind::kMode); }
constexpr Arg Size() { return Plain(Arg::Kind::kSize); }
constexpr Arg User() { return Plain(Arg::Kind::kUser); }
constexpr Arg Signal() { return Plain(Arg::Kind::kSignal); }
constexpr Arg Address() { return Plain(Arg::Kind::kAddress); }
constexpr Arg Of(Resource resource) { return Arg{.kind = Arg::Kind::kResource, .resource = resource}; }
constexpr Arg Fd() { return Of(Resource::kFd); }
constexpr Arg Pid() { return Of(Resource::kPid); }
constexpr Arg Flags(const Words& words) { return Arg{.kind = Arg::Kind::kFlags, .words = &words}; }
constexpr Arg OneOf(const Words& words) { return Arg{.kind = Arg::Kind::kChoice, .words = &words}; }
constexpr Arg Path() { return Arg{.kind = Arg::Kind::kPath, .way = Arg::Way::kIn}; }
constexpr Arg Text() { return Arg{.kind = Arg::Kind::kText, .way = Arg::Way::kIn}; }
// One of these strings, as a rule.
constexpr Arg TextOf(const Words& words) {
  return Arg{.kind = Arg::Kind::kText, .way = Arg::Way::kIn, .words = &words};
}
constexpr Arg Strings() { return Arg{.kind = Arg::Kind::kStrings, .way = Arg::Way::kIn}; }

constexpr Arg Bytes(Arg::Way way, int8_t count_arg) {
  return Arg{.kind = Arg::Kind::kBytes, .way = way, .count_arg = count_arg, .in_bytes = true};
}
constexpr Arg InBytes(int8_t count_arg) { return Bytes(Arg::Way::kIn, count_arg); }
constexpr Arg OutBytes(int8_t count_arg) { return Bytes(Arg::Way::kOut, count_arg); }

constexpr Arg Struct(Arg::Way way, const Layout& layout, int8_t count_arg, bool in_bytes) {
  return Arg{.kind = Arg::Kind::kStruct,
             .way = way,
             .count_arg = count_arg,
             .in_bytes = in_bytes,
             .layout = &layout};
}
// One; as many as argument `count` says; as many bytes of one as it says.
constexpr Arg In(const Layout& layout) { return Struct(Arg::Way::kIn, layout, Arg::kOne, false); }
constexpr Arg Out(const Layout& layout) { return Struct(Arg::Way::kOut, layout, Arg::kOne, false); }
constexpr Arg InOut(const Layout& layout) { return Struct(Arg::Way::kBoth, layout, Arg::kOne, false); }
constexpr Arg InEach(const Layout& layout, int8_t count) {
  return Struct(Arg::Way::kIn, layout, count, false);
}
constexpr Arg OutEach(const Layout& layout, int8_t count) {
  return Struct(Arg::Way::kOut, layout, count, false);
}
constexpr Arg InOutEach(const Layout& layout, int8_t count) {
  return Struct(Arg::Way::kBoth, layout, count, false);
}
constexpr Arg InSized(const Layout& layout, int8_t count) {
  return Struct(Arg::Way::kIn, layout, count, true);
}
constexpr Arg OutSized(const Layout& layout, int8_t count) {
  return Struct(Arg::Way::kOut, layout, count, true);
}
constexpr Arg Pointers(const Layout& layout, int8_t count) {
  return Arg{.kind = Arg::Kind::kPointers, .way = Arg::Way::kIn, .count_arg = count, .layout = &layout};
}

}  // namespace cloister::abi

#endif  // CLOISTER_BASE_ABI_SIGNATURE_H_
