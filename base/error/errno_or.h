#ifndef CLOISTER_BASE_ERROR_ERRNO_OR_H_
#define CLOISTER_BASE_ERROR_ERRNO_OR_H_

#include <optional>
#include <type_traits>
#include <utility>

#include "base/error/errno.h"

namespace cloister {

// A value, or the errno that the guest is to see. Empty never.
// TRY(expression) unwraps it or returns the error from the function around it.
template <typename T>
class [[nodiscard]] ErrnoOr {
 public:
  using value_type = T;

  ErrnoOr(Errno error) : error_(error) {}  // NOLINT: implicit, so that `return Errno::kInval` works
  template <typename U = T>
    requires(std::is_convertible_v<U &&, T> && !std::is_same_v<std::remove_cvref_t<U>, ErrnoOr> &&
             !std::is_same_v<std::remove_cvref_t<U>, Errno>)
  ErrnoOr(U&& value) : value_(std::forward<U>(value)) {}  // NOLINT: implicit, likewise

  bool ok() const { return value_.has_value(); }
  // kPerm where ok(): ask ok() first.
  Errno error() const { return error_; }

  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Errno error_ = Errno::kPerm;
};

// Success without a value, or an errno.
template <>
class [[nodiscard]] ErrnoOr<void> {
 public:
  using value_type = void;

  ErrnoOr() = default;
  ErrnoOr(Errno error) : failed_(true), error_(error) {}  // NOLINT: implicit

  bool ok() const { return !failed_; }
  Errno error() const { return error_; }
  void value() const {}

 private:
  bool failed_ = false;
  Errno error_ = Errno::kPerm;
};

using ErrnoOrVoid = ErrnoOr<void>;

inline ErrnoOrVoid Ok() { return {}; }

}  // namespace cloister

// Value of an ErrnoOr<T>; on an error the function around returns that error.
#define TRY(...)                                       \
  ({                                                   \
    auto&& try_result_ = (__VA_ARGS__);                \
    if (!try_result_.ok()) return try_result_.error(); \
    std::move(try_result_).value();                    \
  })

// The same for an ErrnoOr<void>, or where the value is not wanted.
#define TRY_VOID(...)                                  \
  do {                                                 \
    auto&& try_result_ = (__VA_ARGS__);                \
    if (!try_result_.ok()) return try_result_.error(); \
  } while (false)

#endif  // CLOISTER_BASE_ERROR_ERRNO_OR_H_
