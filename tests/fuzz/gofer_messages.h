#ifndef CLOISTER_TESTS_FUZZ_GOFER_MESSAGES_H_
#define CLOISTER_TESTS_FUZZ_GOFER_MESSAGES_H_

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "gofer/protocol/gofer.pb.h"

namespace cloister::fuzz {

// A series of messages as one input: each is preceded by its length in two bytes. Bytes that do not parse
// are left out.
template <typename Message>
std::vector<Message> ReadMessages(std::string_view bytes) {
  constexpr size_t kMost = 64;
  std::vector<Message> messages;
  while (bytes.size() > 2 && messages.size() < kMost) {
    const size_t size = static_cast<uint8_t>(bytes[0]) | static_cast<size_t>(static_cast<uint8_t>(bytes[1]))
                                                             << 8;
    bytes.remove_prefix(2);
    const std::string_view one = bytes.substr(0, size);
    bytes.remove_prefix(one.size());
    Message message;
    if (message.ParseFromArray(one.data(), static_cast<int>(one.size())))
      messages.push_back(std::move(message));
  }
  return messages;
}

template <typename Message>
std::string WriteMessages(const std::vector<Message>& messages) {
  std::string bytes;
  for (const Message& message : messages) {
    const std::string one = message.SerializeAsString();
    if (one.size() > UINT16_MAX) continue;
    bytes += static_cast<char>(one.size() & 0xff);
    bytes += static_cast<char>(one.size() >> 8);
    bytes += one;
  }
  return bytes;
}

// Makes messages whose fields are mostly such as an honest peer might send.
class MessageMaker {
 public:
  explicit MessageMaker(uint32_t seed) : random_(seed) {}

  gofer::Request MakeRequest();
  gofer::Reply MakeReply();
  uint32_t Below(uint32_t bound) { return random_() % bound; }
  bool OneIn(uint32_t n) { return Below(n) == 0; }

 private:
  uint64_t Id();
  uint64_t AnyNumber();
  std::string Name();
  std::string Target();
  void Fill(gofer::Owner* owner);
  void Fill(gofer::Attr* attr);
  void Fill(gofer::Node* node);
  void Fill(gofer::Entry* entry);
  uint32_t OpenFlags();
  void FillWalk(gofer::WalkRequest* walk);
  void FillXattr(gofer::XattrRequest* xattr);
  void FillSetAttr(gofer::SetAttrRequest* request);
  void FillNames(uint32_t kind, gofer::Request* request);
  void FillWalk(gofer::WalkReply* reply);

  std::mt19937 random_;
};

// One change of a series: a message more or less, repeated, moved or made anew.
template <typename Message, typename Make>
void MutateMessages(MessageMaker& maker, std::vector<Message>* messages, Make make) {
  const auto size = static_cast<uint32_t>(messages->size());
  if (size == 0 || maker.OneIn(3)) {
    messages->insert(messages->begin() + maker.Below(size + 1), make());
    return;
  }
  const uint32_t at = maker.Below(size);
  switch (maker.Below(4)) {
    case 0:
      messages->erase(messages->begin() + at);
      return;
    case 1:
      messages->insert(messages->begin() + at, Message((*messages)[maker.Below(size)]));
      return;
    case 2:
      std::swap((*messages)[at], (*messages)[maker.Below(size)]);
      return;
    default:
      (*messages)[at] = make();
  }
}

}  // namespace cloister::fuzz

#endif  // CLOISTER_TESTS_FUZZ_GOFER_MESSAGES_H_
