#include "sentry/fs/tty/line_discipline.h"

#include <signal.h>

#include <algorithm>

namespace cloister::tty {
namespace {

constexpr uint8_t kDisabled = 0;  // _POSIX_VDISABLE
constexpr std::string_view kEraseOne = "\b \b";

bool IsControl(uint8_t byte) { return byte < 0x20 || byte == 0x7f; }

bool IsWordByte(uint8_t byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
         byte == '_' || byte >= 0x80;
}

}  // namespace

struct termios2 DefaultTermios() {
  struct termios2 modes = {};
  modes.c_iflag = ICRNL | IXON;
  modes.c_oflag = OPOST | ONLCR;
  modes.c_cflag = B38400 | CS8 | CREAD | HUPCL;
  modes.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
  modes.c_ispeed = modes.c_ospeed = 38400;
  const cc_t characters[] = {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0};
  static_assert(sizeof characters == NCCS);
  std::copy(std::begin(characters), std::end(characters), modes.c_cc);
  return modes;
}

LineDiscipline::LineDiscipline() : termios_(DefaultTermios()) {}

void LineDiscipline::SetTermios(const struct termios2& termios) {
  const bool was_canonical = canonical();
  const bool had_ixon = In(IXON);
  termios_ = termios;
  if (was_canonical != canonical()) Rearrange();
  if (had_ixon && !In(IXON)) stopped_ = false;
}

// What was typed under the other mode: one line as it stands, or bytes.
void LineDiscipline::Rearrange() {
  literal_next_ = false;
  for (Cell& cell : input_) cell &= static_cast<Cell>(~kLineEnd);
  std::erase_if(input_, [](Cell cell) { return (cell & kEof) != 0; });
  if (canonical() && !input_.empty()) input_.back() |= kLineEnd;
  edit_start_ = input_.size();
  edit_column_ = column_;
}

bool LineDiscipline::Is(uint8_t byte, int index) const {
  return termios_.c_cc[index] == byte && byte != kDisabled;
}

size_t LineDiscipline::Room() const {
  const size_t left = input_.size() < kCapacity - 1 ? kCapacity - 1 - input_.size() : 0;
  // An unfinished line may be edited and ended, however long: what does not fit is dropped.
  if (left == 0 && canonical() && edit_start_ == 0) return 1;
  return left;
}

void LineDiscipline::Receive(std::string_view bytes, std::string* echo, Effects* effects) {
  for (const char byte : bytes) ReceiveByte(static_cast<uint8_t>(byte), echo, effects);
}

void LineDiscipline::ReceiveByte(uint8_t byte, std::string* echo, Effects* effects) {
  if (In(ISTRIP)) byte &= 0x7f;
  if (In(IUCLC) && Local(IEXTEN) && byte >= 'A' && byte <= 'Z') byte += 'a' - 'A';
  if (literal_next_) {
    literal_next_ = false;
    Insert(byte, echo);
    return;
  }
  if (FlowControl(byte, effects)) return;
  if (SignalCharacter(byte, echo, effects)) return;
  if (byte == '\r') {
    if (In(IGNCR)) return;
    if (In(ICRNL)) byte = '\n';
  } else if (byte == '\n' && In(INLCR)) {
    byte = '\r';
  }
  if (canonical() && (EditCharacter(byte, echo) || LineEnd(byte, echo))) return;
  Insert(byte, echo);
}

bool LineDiscipline::FlowControl(uint8_t byte, Effects* effects) {
  if (!In(IXON)) return false;
  if (Is(byte, VSTOP) && !(Is(byte, VSTART) && stopped_)) {
    stopped_ = true;
    return true;
  }
  if (Is(byte, VSTART) || (stopped_ && In(IXANY))) {
    effects->output_started = stopped_;
    stopped_ = false;
    return Is(byte, VSTART);
  }
  return false;
}

bool LineDiscipline::SignalCharacter(uint8_t byte, std::string* echo, Effects* effects) {
  if (!Local(ISIG)) return false;
  int signo = 0;
  if (Is(byte, VINTR)) signo = SIGINT;
  if (Is(byte, VQUIT)) signo = SIGQUIT;
  if (Is(byte, VSUSP)) signo = SIGTSTP;
  if (signo == 0) return false;
  effects->signals.push_back(signo);
  if (!Local(NOFLSH)) {
    FlushInput();
    echo->clear();
    effects->flush_output = true;
  }
  if (stopped_) effects->output_started = true;
  stopped_ = false;
  EchoByte(byte, echo);
  return true;
}

bool LineDiscipline::EditCharacter(uint8_t byte, std::string* echo) {
  const bool extended = Local(IEXTEN);
  if (Is(byte, VERASE) || Is(byte, VKILL) || (extended && Is(byte, VWERASE))) {
    Erase(byte, echo);
    return true;
  }
  if (extended && Is(byte, VLNEXT)) {
    literal_next_ = true;
    if (Local(ECHO) && Local(ECHOCTL)) EchoRaw("^\b", echo);
    return true;
  }
  if (extended && Local(ECHO) && Is(byte, VREPRINT)) {
    EchoByte(byte, echo);
    EchoByte('\n', echo);
    Reprint(echo);
    return true;
  }
  return false;
}

bool LineDiscipline::LineEnd(uint8_t byte, std::string* echo) {
  Cell cell;
  if (byte == '\n') {
    if (Local(ECHO) || Local(ECHONL)) EchoRaw("\n", echo);
    cell = '\n' | kLineEnd;
  } else if (Is(byte, VEOF)) {
    cell = kEof | kLineEnd;
  } else if (Is(byte, VEOL) || (Local(IEXTEN) && Is(byte, VEOL2))) {
    EchoByte(byte, echo);
    cell = static_cast<Cell>(byte | kLineEnd);
  } else {
    return false;
  }
  // Insert keeps the last place free, so that a line can always end.
  input_.push_back(cell);
  edit_start_ = input_.size();
  edit_column_ = column_;
  return true;
}

void LineDiscipline::Insert(uint8_t byte, std::string* echo) {
  if (input_.size() >= kCapacity - 1) {
    if (In(IMAXBEL)) EchoRaw("\a", echo);
    return;
  }
  if (canonical() && edit_start_ == input_.size()) edit_column_ = column_;
  EchoByte(byte, echo);
  input_.push_back(byte);
}

bool LineDiscipline::IsContinuation(Cell cell) const { return In(IUTF8) && (cell & 0xc0) == 0x80; }

void LineDiscipline::EraseOne(std::string* echo) {
  Cell erased;
  do {
    erased = input_.back();
    input_.pop_back();
  } while (IsContinuation(erased) && input_.size() > edit_start_);
  if (echo != nullptr) EchoErased(static_cast<uint8_t>(erased), echo);
}

// VERASE, VWERASE or VKILL.
void LineDiscipline::Erase(uint8_t byte, std::string* echo) {
  const bool kill = Is(byte, VKILL) && !Is(byte, VERASE);
  const bool word = !kill && !Is(byte, VERASE);
  if (kill && (!Local(ECHO) || !Local(ECHOK) || !Local(ECHOKE) || !Local(ECHOE))) {
    input_.resize(edit_start_);
    EchoByte(byte, echo);
    if (Local(ECHO) && Local(ECHOK)) EchoRaw("\n", echo);
    edit_column_ = column_;
    return;
  }
  bool seen_word = false;
  bool any = false;
  while (input_.size() > edit_start_) {
    if (word) {
      const bool in_word = IsWordByte(static_cast<uint8_t>(input_.back()));
      if (seen_word && !in_word) break;
      seen_word |= in_word;
    }
    EraseOne(Local(ECHO) && Local(ECHOE) ? echo : nullptr);
    any = true;
    if (!kill && !word) break;
  }
  if (any && Local(ECHO) && !Local(ECHOE)) EchoByte(termios_.c_cc[VERASE], echo);
}

void LineDiscipline::EchoErased(uint8_t byte, std::string* echo) {
  if (byte == '\t') {
    const unsigned now = EditColumn();
    EchoRaw(std::string(8 - now % 8, '\b'), echo);
    column_ = now;
    return;
  }
  if (IsControl(byte) && !Local(ECHOCTL)) return;
  EchoRaw(kEraseOne, echo);
  if (IsControl(byte)) EchoRaw(kEraseOne, echo);
}

unsigned LineDiscipline::EditColumn() const {
  unsigned column = edit_column_;
  for (size_t i = edit_start_; i < input_.size(); ++i) {
    const auto byte = static_cast<uint8_t>(input_[i]);
    if (byte == '\t') {
      column = (column | 7) + 1;
    } else if (IsControl(byte)) {
      if (Local(ECHOCTL)) column += 2;
    } else if (!IsContinuation(input_[i])) {
      ++column;
    }
  }
  return column;
}

void LineDiscipline::Reprint(std::string* echo) {
  edit_column_ = column_;
  for (size_t i = edit_start_; i < input_.size(); ++i) EchoByte(static_cast<uint8_t>(input_[i]), echo);
}

void LineDiscipline::EchoByte(uint8_t byte, std::string* echo) {
  if (!Local(ECHO)) return;
  if (Local(ECHOCTL) && IsControl(byte) && byte != '\t' && byte != '\n') {
    const char text[] = {'^', static_cast<char>(byte ^ 0x40)};
    EchoRaw(std::string_view(text, 2), echo);
    return;
  }
  const char text = static_cast<char>(byte);
  EchoRaw(std::string_view(&text, 1), echo);
}

void LineDiscipline::EchoRaw(std::string_view bytes, std::string* echo) { ProcessOutput(bytes, echo); }

bool LineDiscipline::HasInput() const { return canonical() ? edit_start_ > 0 : !input_.empty(); }

size_t LineDiscipline::InputBytes() const {
  const size_t end = canonical() ? edit_start_ : input_.size();
  return static_cast<size_t>(std::count_if(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(end),
                                           [](Cell c) { return !(c & kEof); }));
}

size_t LineDiscipline::Read(char* dst, size_t size) {
  const bool lines = canonical();
  size_t done = 0, taken = 0;
  const size_t end = lines ? edit_start_ : input_.size();
  while (taken < end) {
    const Cell cell = input_[taken];
    if (cell & kEof) {
      ++taken;  // also behind a line that filled the buffer: VEOF there only ends the line
      break;
    }
    if (done == size) break;
    dst[done++] = static_cast<char>(cell);
    ++taken;
    if (lines && (cell & kLineEnd)) break;
  }
  input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(taken));
  edit_start_ -= std::min(edit_start_, taken);
  return done;
}

void LineDiscipline::FlushInput() {
  input_.clear();
  edit_start_ = 0;
  edit_column_ = column_;
  literal_next_ = false;
}

void LineDiscipline::ProcessOutput(std::string_view bytes, std::string* out) {
  if (!Out(OPOST)) {
    out->append(bytes);
    return;
  }
  for (const char byte : bytes) PutOutput(static_cast<uint8_t>(byte), out);
}

void LineDiscipline::PutOutput(uint8_t byte, std::string* out) {
  switch (byte) {
    case '\n':
      if (Out(ONLRET)) column_ = 0;
      if (Out(ONLCR)) {
        column_ = 0;
        out->append("\r\n");
        return;
      }
      break;
    case '\r':
      if (Out(ONOCR) && column_ == 0) return;
      if (Out(OCRNL)) {
        if (Out(ONLRET)) column_ = 0;
        out->push_back('\n');
        return;
      }
      column_ = 0;
      break;
    case '\t': {
      const unsigned spaces = 8 - column_ % 8;
      column_ += spaces;
      if ((termios_.c_oflag & TABDLY) == XTABS) {
        out->append(spaces, ' ');
        return;
      }
      break;
    }
    case '\b':
      if (column_ > 0) --column_;
      break;
    default:
      if (IsControl(byte)) break;
      if (Out(OLCUC) && byte >= 'a' && byte <= 'z') byte -= 'a' - 'A';
      if (!IsContinuation(byte)) ++column_;
      break;
  }
  out->push_back(static_cast<char>(byte));
}

}  // namespace cloister::tty
