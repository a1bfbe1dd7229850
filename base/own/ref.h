#ifndef CLOISTER_BASE_OWN_REF_H_
#define CLOISTER_BASE_OWN_REF_H_

#include <atomic>
#include <cstdint>
#include <utility>

namespace cloister {

// Base of an object shared by count. Born with one reference, which MakeRef takes over.
// The last DecRef, on whichever thread, calls OnLastRef, which deletes the object unless overridden.
class RefCounted {
 public:
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void IncRef() const { count_.fetch_add(1, std::memory_order_relaxed); }

  void DecRef() const {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) const_cast<RefCounted*>(this)->OnLastRef();
  }

  // A reference, unless the last one is already gone: for caches that hold no reference.
  bool TryIncRef() const {
    int64_t seen = count_.load(std::memory_order_relaxed);
    while (seen > 0) {
      if (count_.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) return true;
    }
    return false;
  }

  int64_t ref_count() const { return count_.load(std::memory_order_relaxed); }

 protected:
  RefCounted() = default;
  virtual ~RefCounted() = default;
  virtual void OnLastRef() { delete this; }

 private:
  mutable std::atomic<int64_t> count_{1};
};

// Owns one reference to a T, or is null.
template <typename T>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}  // NOLINT: implicit, as with a pointer
  // Takes a further reference to a live object.
  explicit Ref(T* object) : object_(object) {
    if (object_ != nullptr) object_->IncRef();
  }
  Ref(const Ref& other) : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <typename U>
  Ref(const Ref<U>& other) : Ref(static_cast<T*>(other.get())) {}  // NOLINT: derived to base
  template <typename U>
  Ref(Ref<U>&& other) : object_(other.Release()) {}  // NOLINT: derived to base
  ~Ref() {
    if (object_ != nullptr) object_->DecRef();
  }

  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }

  // Wraps a reference that the caller already owns.
  static Ref Adopt(T* object) {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  // Gives the reference up without dropping it.
  [[nodiscard]] T* Release() { return std::exchange(object_, nullptr); }

  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }
  void reset() { *this = Ref(); }

  friend bool operator==(const Ref& a, const Ref& b) { return a.object_ == b.object_; }
  friend bool operator==(const Ref& a, const T* b) { return a.object_ == b; }
  template <typename H>
  friend H AbslHashValue(H h, const Ref& ref) {
    return H::combine(std::move(h), ref.object_);
  }

 private:
  T* object_ = nullptr;
};

template <typename T, typename... Args>
Ref<T> MakeRef(Args&&... args) {
  return Ref<T>::Adopt(new T(std::forward<Args>(args)...));
}

}  // namespace cloister

#endif  // CLOISTER_BASE_OWN_REF_H_
