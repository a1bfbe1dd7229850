#include "tests/fuzz/generator.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace cloister::fuzz {
namespace {

using abi::Arg;
using abi::Resource;

constexpr int kDeepest = 3;
constexpr uint32_t kMostEach = 4;

const char* const kPaths[] = {"a",
                              "b",
                              "d",
                              "d/a",
                              "d/b",
                              "s",
                              "/",
                              ".",
                              "..",
                              "d/..",
                              "/bin/test",
                              "/proc/self",
                              "/proc",
                              "/proc/self/fd",
                              "/proc/self/fd/3",
                              "/proc/self/mem",
                              "/proc/self/maps",
                              "/proc/1/status",
                              "/proc/self/exe",
                              "/proc/self/cwd/a",
                              "/proc/self/task",
                              "/proc/self/ns/net",
                              "/proc/sys/kernel/hostname",
                              "/proc/mounts",
                              "/proc/stat",
                              "/proc/self/oom_score_adj",
                              "/proc/self/attr/current",
                              "/proc/self/environ",
                              "/dev/null",
                              "/dev/zero",
                              "/dev/full",
                              "/dev/tty",
                              "/dev/ptmx",
                              "/dev/pts/0",
                              "/dev/shm",
                              "/dev/urandom",
                              "/sys",
                              "/sys/fs/cgroup",
                              "/sys/devices/system/cpu/online",
                              "/mq",
                              "/mq/q",
                              "/o",
                              "/o/a",
                              "/o/bin/test",
                              "f",
                              "",
                              "a/",
                              "x//y",
                              "/proc/self/root/d",
                              "/proc/thread-self/comm"};

// What an argument's resource may be taken for in a register: registers go round by kind, so that a call
// finds with good odds what an earlier one left.
int RegisterOf(Resource resource, uint32_t which) {
  const int kinds = static_cast<int>(Resource::kAddress) + 1;
  return (static_cast<int>(resource) + kinds * static_cast<int>(which)) % kRegisters;
}

bool IsDescriptor(Resource resource) { return resource >= Resource::kFd && resource <= Resource::kPidFd; }

uint64_t SizeOf(const Item& item) { return item.width != 0 ? item.width : item.bytes.size(); }

uint64_t SizeOf(const Value& value) {
  uint64_t size = 0;
  for (const Item& item : value.items) size += SizeOf(item);
  return size;
}

}  // namespace

uint64_t Generator::Interesting() {
  static constexpr uint64_t kNumbers[] = {0,
                                          1,
                                          2,
                                          3,
                                          7,
                                          8,
                                          63,
                                          64,
                                          255,
                                          4095,
                                          4096,
                                          4097,
                                          65535,
                                          65536,
                                          uint64_t{INT32_MAX},
                                          uint64_t{1} << 31,
                                          UINT32_MAX,
                                          uint64_t{1} << 32,
                                          uint64_t{INT64_MAX},
                                          uint64_t{1} << 63,
                                          ~uint64_t{0},
                                          ~uint64_t{0} - 4095,
                                          uint64_t{1} << 30,
                                          (uint64_t{1} << 30) - 1,
                                          (uint64_t{1} << 47) - 4096,
                                          kScratch,
                                          kScratch + kScratchSize - 1,
                                          kScratch + kScratchSize};
  switch (Below(4)) {
    case 0:
      return uint64_t{1} << Below(64);
    case 1:
      return Below(1 << 16);
    default:
      return kNumbers[Below(std::size(kNumbers))];
  }
}

uint64_t Generator::Combine(const abi::Words& words) {
  uint64_t value = 0;
  for (uint32_t i = 1 + Below(3); i > 0; --i) value |= words.list[Below(words.count)].value;
  return value;
}

uint64_t Generator::Number(const Arg& arg) {
  if (OneIn(24)) return Interesting();
  switch (arg.kind) {
    case Arg::Kind::kFlags:
      return OneIn(4) ? 0 : Combine(*arg.words);
    case Arg::Kind::kChoice:
      return arg.words->list[Below(arg.words->count)].value;
    case Arg::Kind::kMode:
      return OneIn(3) ? Below(010000) : 0666;
    case Arg::Kind::kSize:
      return OneIn(4) ? Below(1 << 17) : Below(64);
    case Arg::Kind::kUser:
      return OneIn(3) ? Below(3) : OneIn(3) ? ~uint64_t{0} : 1000;
    case Arg::Kind::kSignal:
      return Below(66);
    case Arg::Kind::kAddress:
      return OneIn(8) ? 0 : kScratch + 4096 * uint64_t{Below(32)};
    default:
      return Interesting();
  }
}

std::string Generator::AnyBytes(uint32_t most) {
  std::string bytes(Below(most + 1), '\0');
  const char fill = static_cast<char>(Below(256));
  for (char& byte : bytes) byte = OneIn(4) ? static_cast<char>(Below(256)) : fill;
  return bytes;
}

std::string Generator::PathText() {
  std::string path = kPaths[OneIn(2) ? Below(8) : Below(std::size(kPaths))];
  if (OneIn(12)) path += std::string("/") + kPaths[Below(6)];
  if (OneIn(200)) path += std::string(255 + Below(4000), 'x');
  return path;
}

// Spread over the scratch memory; now and then so that it ends with a page or runs off the end.
uint64_t Generator::Place(uint32_t size) {
  if (OneIn(16)) return kScratchSize - std::min<uint64_t>(kScratchSize - 1, 1 + Below(2 * size + 2));
  if (OneIn(8)) return 4096 * (1 + uint64_t{Below(15)}) - std::min<uint64_t>(size, 4096);
  return 64 * uint64_t{Below(kScratchSize / 64 - 16)};
}

Value Generator::MakeResource(Resource resource) {
  if (IsDescriptor(resource) && OneIn(6)) return Value::Of(Below(12));
  if (IsDescriptor(resource) && OneIn(3))
    return {Value::Kind::kRegister, static_cast<uint64_t>(RegisterOf(Resource::kFd, 0)), {}};
  if (IsDescriptor(resource) && OneIn(4))
    return {Value::Kind::kLoad4, 64 * uint64_t{Below(8)} + 4 * Below(2), {}};
  if (resource == Resource::kFd) return {Value::Kind::kRegister, Below(kRegisters), {}};
  if (resource == Resource::kPid && OneIn(2)) return Value::Of(OneIn(3) ? ~uint64_t{0} : Below(6));
  if (resource == Resource::kTimer) return Value::Of(Below(4));
  if (resource == Resource::kAio) return {Value::Kind::kLoad8, 64 * uint64_t{Below(8)}, {}};
  if (OneIn(16)) return Value::Of(Interesting());
  return {Value::Kind::kRegister, static_cast<uint64_t>(RegisterOf(resource, Below(2))), {}};
}

Value Generator::MakeValue(const Arg& arg, int depth) {
  switch (arg.kind) {
    case Arg::Kind::kResource:
      return MakeResource(arg.resource);
    case Arg::Kind::kDirFd:
      return OneIn(3) ? MakeResource(Resource::kDirectory) : Value::Of(static_cast<uint64_t>(-100));
    case Arg::Kind::kAddress:
      if (OneIn(4)) return MakeResource(Resource::kAddress);
      return Value::Of(Number(arg));
    case Arg::Kind::kPath:
    case Arg::Kind::kText:
    case Arg::Kind::kBytes:
    case Arg::Kind::kStruct:
      return MakeMemory(arg, depth);
    case Arg::Kind::kStrings:
      return MakeStrings(depth);
    case Arg::Kind::kPointers: {
      Value vector{Value::Kind::kPointer, Place(32), {}};
      for (uint32_t i = Below(kMostEach); i > 0; --i) {
        vector.items.push_back({8, "", MakeMemory(abi::In(*arg.layout), depth + 1)});
      }
      return vector;
    }
    default:
      return Value::Of(Number(arg));
  }
}

Value Generator::MakeMemory(const Arg& arg, int depth) {
  if (OneIn(24)) return Value::Of(0);
  if (OneIn(32)) return Value::Of(Interesting());
  Value value{Value::Kind::kPointer, 0, {}};
  if (arg.kind == Arg::Kind::kPath || arg.kind == Arg::Kind::kText) {
    std::string text = arg.kind == Arg::Kind::kPath ? PathText()
                       : arg.words != nullptr       ? arg.words->list[Below(arg.words->count)].name
                                                    : AnyBytes(12);
    value.number = Place(static_cast<uint32_t>(text.size() + 1));
    value.items.push_back({0, std::move(text) + '\0', {}});
    return value;
  }
  const bool optional = arg.kind == Arg::Kind::kStruct;
  if (optional && OneIn(5)) return Value::Of(0);
  if (arg.way == Arg::Way::kOut) {
    // The first places are those whose contents later calls take for descriptors.
    value.number = OneIn(2) ? 64 * uint64_t{Below(8)} : Place(arg.layout != nullptr ? arg.layout->size : 64);
    return value;
  }
  if (arg.kind == Arg::Kind::kBytes) {
    value.items.push_back({0, AnyBytes(OneIn(8) ? 4200 : 32), {}});
    value.number = Place(static_cast<uint32_t>(SizeOf(value)));
    return value;
  }
  const bool many = arg.count_arg != Arg::kOne && !arg.in_bytes;
  for (uint32_t i = many ? Below(kMostEach + 1) : 1; i > 0; --i) FillStruct(*arg.layout, depth, &value.items);
  value.number = Place(static_cast<uint32_t>(SizeOf(value)));
  return value;
}

Value Generator::MakeStrings(int depth) {
  Value vector{Value::Kind::kPointer, Place(32), {}};
  for (uint32_t i = Below(3); i > 0 && depth < kDeepest; --i) {
    Value text{Value::Kind::kPointer, Place(16), {}};
    text.items.push_back({0, AnyBytes(12) + '\0', {}});
    vector.items.push_back({8, "", std::move(text)});
  }
  vector.items.push_back({8, "", Value::Of(0)});
  return vector;
}

template <typename ArgAt, typename ValueAt>
void Generator::SetCounts(int count, ArgAt arg_at, ValueAt value_at) {
  for (int i = 0; i < count; ++i) {
    const Arg& arg = arg_at(i);
    if (arg.count_arg == Arg::kOne || arg.count_arg >= count || OneIn(10)) continue;
    const Value& counted = value_at(i);
    Value& number = value_at(arg.count_arg);
    if (counted.kind != Value::Kind::kPointer || number.kind != Value::Kind::kNumber) continue;
    uint64_t size = SizeOf(counted);
    if (arg.way == Arg::Way::kOut) size = OneIn(2) ? Below(256) : Below(8192);
    if (arg.way == Arg::Way::kOut && arg.layout != nullptr && arg.in_bytes) size = arg.layout->size;
    if (!arg.in_bytes && arg.layout != nullptr)
      size = arg.way == Arg::Way::kOut ? 1 + Below(kMostEach) : size / arg.layout->size;
    if (arg.kind == Arg::Kind::kPointers) size = counted.items.size();
    number.number = size;
  }
}

void Generator::FillStruct(const abi::Layout& layout, int depth, std::vector<Item>* items) {
  if (layout.fields == nullptr || depth >= kDeepest) {
    std::string bytes(layout.size, '\0');
    if (OneIn(3)) bytes[Below(layout.size)] = static_cast<char>(Below(256));
    items->push_back({0, std::move(bytes), {}});
    return;
  }
  std::vector<Value> members;
  for (const abi::Field& field : *layout.fields) members.push_back(MakeValue(field.arg, depth + 1));
  const abi::Field* const fields = layout.fields->list;
  SetCounts(
      static_cast<int>(members.size()), [&](int i) -> const Arg& { return fields[i].arg; },
      [&](int i) -> Value& { return members[static_cast<size_t>(i)]; });
  uint32_t at = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    if (fields[i].offset > at) items->push_back({0, std::string(fields[i].offset - at, '\0'), {}});
    items->push_back({fields[i].width, "", std::move(members[i])});
    at = fields[i].offset + fields[i].width;
  }
  if (at < layout.size) items->push_back({0, std::string(layout.size - at, '\0'), {}});
}

Call Generator::MakeCall() {
  Call call;
  do {
    call.signature =
        calls_.empty() ? &abi::kSyscallSignatures[Below(std::size(abi::kSyscallSignatures))] : Any(calls_);
    // What ends tasks is rare, so that others have time.
  } while (calls_.empty() && !OneIn(6) && strncmp(call.signature->name, "exit", 4) == 0);
  call.task = static_cast<uint8_t>(OneIn(2) ? 0 : Below(kTasks));
  if (call.signature->gives != Resource::kNone)
    call.into = static_cast<int8_t>(RegisterOf(call.signature->gives, Below(2)));
  const int arity = call.signature->arity();
  for (int i = 0; i < arity; ++i) call.args.push_back(MakeValue(call.signature->args[i], 0));
  SetCounts(
      arity, [&](int i) -> const Arg& { return call.signature->args[i]; },
      [&](int i) -> Value& { return call.args[static_cast<size_t>(i)]; });
  return call;
}

Program Generator::MakeProgram(size_t calls) {
  Program program;
  program.races = OneIn(12);
  while (program.calls.size() < calls) program.calls.push_back(MakeCall());
  return program;
}

void Generator::MutateValue(Value& value) {
  if (value.kind != Value::Kind::kPointer || value.items.empty() || OneIn(4)) {
    if (value.kind == Value::Kind::kNumber) {
      value.number = OneIn(2)   ? Interesting()
                     : OneIn(2) ? value.number + Below(9) - 4
                                : value.number ^ (uint64_t{1} << Below(64));
    } else if (value.kind == Value::Kind::kRegister) {
      value.number = Below(kRegisters);
    } else {
      value.number = Place(64);
    }
    return;
  }
  Item& item = value.items[Below(static_cast<uint32_t>(value.items.size()))];
  if (item.width != 0) return MutateValue(item.value);
  if (item.bytes.empty() || OneIn(6)) {
    item.bytes = AnyBytes(64);
  } else {
    item.bytes[Below(static_cast<uint32_t>(item.bytes.size()))] = static_cast<char>(Below(256));
  }
}

void Generator::MutateArgument(Call& call) {
  if (call.args.empty()) return;
  const uint32_t i = Below(static_cast<uint32_t>(call.args.size()));
  const bool described = static_cast<int>(i) < call.signature->arity();
  if (described && OneIn(2)) {
    call.args[i] = MakeValue(call.signature->args[i], 0);
  } else {
    MutateValue(call.args[i]);
  }
}

void Generator::Mutate(Program& program) {
  std::vector<Call>& calls = program.calls;
  const auto size = static_cast<uint32_t>(calls.size());
  if (size == 0) {
    calls.push_back(MakeCall());
    return;
  }
  const uint32_t at = Below(size);
  switch (Below(12)) {
    case 0:
      calls.erase(calls.begin() + at);
      return;
    case 1:
      calls[at].task = static_cast<uint8_t>(Below(kTasks));
      return;
    case 2:
      std::swap(calls[at], calls[Below(size)]);
      return;
    case 3:
      calls.insert(calls.begin() + at, Call(calls[Below(size)]));
      return;
    case 4:
      program.races = !program.races && OneIn(4);
      return;
    case 5:
    case 6:
    case 7:
      for (uint32_t more = 1 + Below(8); more > 0; --more) {
        calls.insert(calls.begin() + Below(static_cast<uint32_t>(calls.size()) + 1), MakeCall());
      }
      return;
    default:
      return MutateArgument(calls[at]);
  }
}

Program Generator::Cross(const Program& a, const Program& b) {
  Program child;
  child.races = OneIn(2) ? a.races : b.races;
  const uint32_t from_a = Below(static_cast<uint32_t>(a.calls.size()) + 1);
  const uint32_t from_b = Below(static_cast<uint32_t>(b.calls.size()) + 1);
  child.calls.assign(a.calls.begin(), a.calls.begin() + from_a);
  child.calls.insert(child.calls.end(), b.calls.begin() + from_b, b.calls.end());
  return child;
}

}  // namespace cloister::fuzz
