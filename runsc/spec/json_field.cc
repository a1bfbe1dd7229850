#include "runsc/spec/json_field.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"

namespace cloister::spec {
namespace {

using nlohmann::json;

absl::string_view View(std::string_view text) { return absl::string_view(text.data(), text.size()); }

// The number as T, if it is an integer and fits.
template <typename T>
bool FitsInto(const json& value, T* out) {
  if (value.is_number_unsigned()) {
    const uint64_t number = *value.get_ptr<const json::number_unsigned_t*>();
    if (number > static_cast<uint64_t>(std::numeric_limits<T>::max())) return false;
    *out = static_cast<T>(number);
    return true;
  }
  if (!value.is_number_integer()) return false;
  const int64_t number = *value.get_ptr<const json::number_integer_t*>();
  if (number < 0 && std::is_unsigned_v<T>) return false;
  if (number < static_cast<int64_t>(std::numeric_limits<T>::min())) return false;
  *out = static_cast<T>(number);
  return true;
}

template <typename T>
absl::Status ReadInteger(const JsonField& field, const json* value, T* out) {
  if (value == nullptr || FitsInto(*value, out)) return absl::OkStatus();
  if (!value->is_number()) return field.Error("must be a number");
  return field.Error(absl::StrCat("must be an integer from ", std::numeric_limits<T>::min(), " to ",
                                  std::numeric_limits<T>::max()));
}

template <typename T>
absl::Status ReadArray(const JsonField& field, std::vector<T>* out) {
  if (!field.present()) return absl::OkStatus();
  out->clear();
  for (const JsonField& element : TRY_STATUS(field.Elements())) {
    if (!element.present()) return element.Error("must not be null");
    RETURN_IF_ERROR(element.Read(&out->emplace_back()));
  }
  return absl::OkStatus();
}

const json* NullIsAbsent(const json* value) { return value->is_null() ? nullptr : value; }

}  // namespace

absl::Status JsonField::Error(std::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(path_.empty() ? "the document" : path_, ": ", View(what)));
}

JsonField JsonField::Member(std::string_view name) const {
  std::string path = absl::StrCat(path_, path_.empty() ? "" : ".", View(name));
  if (value_ == nullptr || !value_->is_object()) return JsonField(nullptr, std::move(path));
  const auto found = value_->find(std::string(name));
  if (found == value_->end()) return JsonField(nullptr, std::move(path));
  return JsonField(NullIsAbsent(&*found), std::move(path));
}

absl::Status JsonField::CheckObject() const {
  if (value_ == nullptr || value_->is_object()) return absl::OkStatus();
  return Error("must be an object");
}

absl::StatusOr<std::vector<JsonField>> JsonField::Elements() const {
  std::vector<JsonField> elements;
  if (value_ == nullptr) return elements;
  if (!value_->is_array()) return Error("must be an array");
  for (const json& element : *value_) {
    elements.emplace_back(NullIsAbsent(&element), absl::StrCat(path_, "[", elements.size(), "]"));
  }
  return elements;
}

absl::StatusOr<std::map<std::string, JsonField>> JsonField::Members() const {
  std::map<std::string, JsonField> members;
  if (value_ == nullptr) return members;
  RETURN_IF_ERROR(CheckObject());
  for (auto it = value_->begin(); it != value_->end(); ++it) members.emplace(it.key(), Member(it.key()));
  return members;
}

absl::Status JsonField::Read(std::string* out) const {
  if (value_ == nullptr) return absl::OkStatus();
  const std::string* text = value_->get_ptr<const json::string_t*>();
  if (text == nullptr) return Error("must be a string");
  if (text->find('\0') != std::string::npos) return Error("must not contain a NUL byte");
  *out = *text;
  return absl::OkStatus();
}

absl::Status JsonField::Read(bool* out) const {
  if (value_ == nullptr) return absl::OkStatus();
  if (!value_->is_boolean()) return Error("must be true or false");
  *out = *value_->get_ptr<const json::boolean_t*>();
  return absl::OkStatus();
}

absl::Status JsonField::Read(uint32_t* out) const { return ReadInteger(*this, value_, out); }
absl::Status JsonField::Read(uint64_t* out) const { return ReadInteger(*this, value_, out); }
absl::Status JsonField::Read(int32_t* out) const { return ReadInteger(*this, value_, out); }
absl::Status JsonField::Read(int64_t* out) const { return ReadInteger(*this, value_, out); }
absl::Status JsonField::Read(std::vector<std::string>* out) const { return ReadArray(*this, out); }
absl::Status JsonField::Read(std::vector<uint32_t>* out) const { return ReadArray(*this, out); }

absl::Status JsonField::Read(std::map<std::string, std::string>* out) const {
  for (const auto& [name, field] : TRY_STATUS(Members())) RETURN_IF_ERROR(field.Read(&(*out)[name]));
  return absl::OkStatus();
}

JsonDocument::JsonDocument(std::unique_ptr<json> value) : value_(std::move(value)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

absl::StatusOr<JsonDocument> JsonDocument::Parse(std::string_view text) {
  auto value = std::make_unique<json>(json::parse(text, nullptr, /*allow_exceptions=*/false));
  if (value->is_discarded()) return absl::InvalidArgumentError("not valid JSON");
  if (!value->is_object()) return absl::InvalidArgumentError("not a JSON object");
  return JsonDocument(std::move(value));
}

JsonField JsonDocument::root() const { return JsonField(value_.get(), ""); }

std::string JsonQuote(std::string_view text) {
  return json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace cloister::spec
