#ifndef CLOISTER_RUNSC_SPEC_JSON_FIELD_H_
#define CLOISTER_RUNSC_SPEC_JSON_FIELD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cloister::spec {

// One value of a JSON document together with its path from the root ("process.rlimits[0].type").
// An absent member and null are the same: such a field reads as "leave the default".
// Valid as long as its JsonDocument.
class JsonField {
 public:
  JsonField() = default;
  JsonField(const nlohmann::json* value, std::string path) : value_(value), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  bool present() const { return value_ != nullptr; }

  // Absent where this is not an object; CheckObject() tells.
  JsonField Member(std::string_view name) const;
  absl::Status CheckObject() const;

  // The elements of an array; none where absent. Anything else is an error.
  absl::StatusOr<std::vector<JsonField>> Elements() const;
  // The members of an object; none where absent.
  absl::StatusOr<std::map<std::string, JsonField>> Members() const;

  // Leaves *out alone where absent. A value of the wrong type or out of range is an error that
  // names the path. Strings may not hold a NUL byte: the kernel would cut them there.
  absl::Status Read(std::string* out) const;
  absl::Status Read(bool* out) const;
  absl::Status Read(uint32_t* out) const;
  absl::Status Read(uint64_t* out) const;
  absl::Status Read(int32_t* out) const;
  absl::Status Read(int64_t* out) const;
  absl::Status Read(std::vector<std::string>* out) const;
  absl::Status Read(std::vector<uint32_t>* out) const;
  absl::Status Read(std::map<std::string, std::string>* out) const;

  // "path: what", as an invalid argument.
  absl::Status Error(std::string_view what) const;

 private:
  const nlohmann::json* value_ = nullptr;
  std::string path_;
};

// Owns the parsed text.
class JsonDocument {
 public:
  static absl::StatusOr<JsonDocument> Parse(std::string_view text);
  ~JsonDocument();
  JsonDocument(JsonDocument&&) noexcept;

  JsonField root() const;

 private:
  explicit JsonDocument(std::unique_ptr<nlohmann::json> value);
  std::unique_ptr<nlohmann::json> value_;
};

// text as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
std::string JsonQuote(std::string_view text);

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_JSON_FIELD_H_
