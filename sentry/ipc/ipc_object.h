#ifndef CLOISTER_SENTRY_IPC_IPC_OBJECT_H_
#define CLOISTER_SENTRY_IPC_IPC_OBJECT_H_

#include <linux/ipc.h>
#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/auth/credentials.h"

namespace cloister::ipc {

// What the three kinds of System V objects have in common. Linux: struct kern_ipc_perm. Its fields are
// guarded by the lock of the table that it is in.
class IpcObject : public RefCounted {
 public:
  IpcObject(key_t key, int flags, const auth::Credentials& creator)
      : key(key), mode(flags & 0777), uid(creator.euid), gid(creator.egid), cuid(uid), cgid(gid) {}

  // Whether cred may do what the permission bits of `flags` say, whoever they are for; kAcces. Linux:
  // ipcperms.
  ErrnoOrVoid CheckAccess(const auth::Credentials& cred, int flags) const;
  // IPC_SET and IPC_RMID are the owner's and the creator's: kPerm.
  ErrnoOrVoid CheckControl(const auth::Credentials& cred) const;
  // IPC_SET: owner, group and permission bits.
  ErrnoOrVoid SetOwner(const ipc64_perm& wanted);
  ipc64_perm Describe() const;

  key_t key;    // IPC_PRIVATE: found by its number alone
  int id = -1;  // set by the table
  mode_t mode;  // permission bits, and flags of the kind's own
  uid_t uid;
  gid_t gid;
  const uid_t cuid;
  const gid_t cgid;
  bool removed = false;  // IPC_RMID: nobody finds it any more
};

// CLOCK_REALTIME in seconds.
int64_t NowSeconds();

// How the …ctl(2) calls find what they tell of.
enum class Lookup {
  kById,        // IPC_STAT
  kByIndex,     // …_STAT: a place in the table
  kByIndexAny,  // …_STAT_ANY: without permission to read
};

// What a …_STAT call gives.
template <typename Status>
struct Described {
  int id = -1;
  Status status = {};
};

// The objects of one kind by number and by key. Linux: struct ipc_ids. A number is a place in the table and a
// count that tells its users apart. Not thread-safe.
template <typename T>
class IdTable {
 public:
  static constexpr int kMostObjects = 32768;  // IPCMNI

  int in_use() const { return in_use_; }
  // Of the object at the highest place; 0 where there is none, as IPC_INFO answers.
  int highest_index() const { return std::max(0, highest_); }

  // kNoSpc where there are `limit` already.
  ErrnoOr<int> Add(Ref<T> object, int limit);
  T* AtIndex(int index) const {
    return index >= 0 && static_cast<size_t>(index) < places_.size() ? places_[index].get() : nullptr;
  }
  T* Find(int id) const {
    T* const object = id >= 0 ? AtIndex(id % kMostObjects) : nullptr;
    return object != nullptr && object->id == id ? object : nullptr;
  }
  T* FindKey(key_t key) const {
    const auto found = by_key_.find(key);
    return found != by_key_.end() ? found->second : nullptr;
  }
  // kInval, kAcces.
  ErrnoOr<T*> Inspect(int id, Lookup how, const auth::Credentials& cred) const;
  // For IPC_SET and IPC_RMID: kInval, kPerm.
  ErrnoOr<T*> FindToControl(int id, const auth::Credentials& cred) const;

  // It is found by its number alone from now on.
  void ForgetKey(T& object) {
    if (object.key != IPC_PRIVATE) by_key_.erase(std::exchange(object.key, IPC_PRIVATE));
  }
  // The caller drops what it gets where no lock is held.
  Ref<T> Remove(T& object);

  template <typename Fn>
  void Visit(Fn&& visit) const {
    for (const Ref<T>& object : places_) {
      if (object) visit(*object);
    }
  }

 private:
  static constexpr int kLeastCycle = 64;  // ipc_min_cycle

  std::vector<Ref<T>> places_;
  absl::flat_hash_map<key_t, T*> by_key_;
  int in_use_ = 0;
  int highest_ = -1;
  int last_ = -1;  // place of the last object
  int sequence_ = 0;
};

// Linux: ipc_idr_alloc. Places are given in turn, so that a number that went is not soon another's.
template <typename T>
ErrnoOr<int> IdTable<T>::Add(Ref<T> object, int limit) {
  if (in_use_ >= std::min(limit, kMostObjects)) return Errno::kNoSpc;
  const int end = std::min(std::max(in_use_ * 3 / 2, kLeastCycle), kMostObjects);
  int index = last_ + 1 < end ? last_ + 1 : 0;
  for (int tries = 0; tries < end && AtIndex(index) != nullptr; ++tries)
    index = index + 1 < end ? index + 1 : 0;
  if (AtIndex(index) != nullptr) return Errno::kNoSpc;
  if (index <= last_) sequence_ = (sequence_ + 1) % (INT32_MAX / kMostObjects);
  last_ = index;
  if (static_cast<size_t>(index) >= places_.size()) places_.resize(static_cast<size_t>(index) + 1);
  object->id = sequence_ * kMostObjects + index;
  if (object->key != IPC_PRIVATE) by_key_[object->key] = object.get();
  const int id = object->id;
  places_[static_cast<size_t>(index)] = std::move(object);
  ++in_use_;
  highest_ = std::max(highest_, index);
  return id;
}

template <typename T>
ErrnoOr<T*> IdTable<T>::Inspect(int id, Lookup how, const auth::Credentials& cred) const {
  T* const object = how == Lookup::kById ? Find(id) : AtIndex(id);
  if (object == nullptr) return Errno::kInval;
  if (how != Lookup::kByIndexAny) TRY_VOID(object->CheckAccess(cred, 0444));
  return object;
}

template <typename T>
ErrnoOr<T*> IdTable<T>::FindToControl(int id, const auth::Credentials& cred) const {
  T* const object = Find(id);
  if (object == nullptr) return Errno::kInval;
  TRY_VOID(object->CheckControl(cred));
  return object;
}

template <typename T>
Ref<T> IdTable<T>::Remove(T& object) {
  ForgetKey(object);
  object.removed = true;
  const int index = object.id % kMostObjects;
  --in_use_;
  Ref<T> removed = std::move(places_[static_cast<size_t>(index)]);
  while (highest_ >= 0 && AtIndex(highest_) == nullptr) --highest_;
  return removed;
}

// The …get(2) calls. Linux: ipcget. check: what else the object must fulfil; make: adds one, and gives its
// number.
template <typename T, typename Check, typename Make>
ErrnoOr<int> GetOrMake(const IdTable<T>& table, key_t key, int flags, const auth::Credentials& cred,
                       Check&& check, Make&& make) {
  if (key != IPC_PRIVATE) {
    if (T* const found = table.FindKey(key); found != nullptr) {
      if ((flags & IPC_CREAT) != 0 && (flags & IPC_EXCL) != 0) return Errno::kExist;
      TRY_VOID(check(*found));
      TRY_VOID(found->CheckAccess(cred, flags));
      return found->id;
    }
    if ((flags & IPC_CREAT) == 0) return Errno::kNoEnt;
  }
  return make();
}

}  // namespace cloister::ipc

#endif  // CLOISTER_SENTRY_IPC_IPC_OBJECT_H_
