#include "sentry/fs/event/epoll_file.h"

namespace cloister::event {

EpollFile::EpollFile(auth::CredRef cred)
    : AnonFile(O_RDWR, std::move(cred), "[eventpoll]"), core_(MakeRef<EpollCore>()) {}

EpollFile::~EpollFile() { core_->Clear(); }

}  // namespace cloister::event
