#include "sentry/fs/tty/line_discipline.h"

#include <signal.h>

#include <algorithm>
#include <utility>

namespace cloister::tty {
namespace {

constexpr uint8_t kDisabled = 0;  // _POSIX_VDISABLE
constexpr std::string_view kEraseOne = "\b \b";

bool IsControl(uint8_t byte) { return byte < 0x20 || byte == 0x7f; }

// Linux's <ctype.h> is that of ISO 8859-1, whatever IUTF8 says.
bool IsUpper(uint8_t byte) {
  return (byte >= 'A' && byte <= 'Z') || (byte >= 0xc0 && byte <= 0xde && byte != 0xd7);
}
bool IsLower(uint8_t byte) { return (byte >= 'a' && byte <= 'z') || (byte >= 0xdf && byte != 0xf7); }
bool IsWordByte(uint8_t byte) {
  return (byte >= '0' && byte <= '9') || IsUpper(byte) || IsLower(byte) || byte == '_';
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
  if (had_ixon && !In(IXON)) Start();
}

// What was typed under the other mode: one line as it stands, or bytes. An end of file becomes the
// byte that Linux keeps for it.
void LineDiscipline::Rearrange() {
  literal_next_ = false;
  erasing_ = false;
  for (Cell& cell : input_) cell &= 0xff;
  if (canonical() && !input_.empty()) {
    input_.back() |= input_.back() == 0 ? kLineEnd | kEof : kLineEnd;
  }
  edit_start_ = canonical() ? input_.size() : 0;
}

bool LineDiscipline::Start() {
  if (!stopped_ || flow_stopped_) return false;
  stopped_ = false;
  return true;
}

bool LineDiscipline::SetOutputStopped(bool stop) {
  if (flow_stopped_ == stop) return false;
  flow_stopped_ = stop;
  if (!stop) return Start();
  stopped_ = true;
  return false;
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
  start_column_ = column_;
  start_edit_column_ = edit_column_;
  for (const char byte : bytes) ReceiveByte(static_cast<uint8_t>(byte), echo, effects);
}

void LineDiscipline::ReceiveByte(uint8_t byte, std::string* echo, Effects* effects) {
  if (In(ISTRIP)) byte &= 0x7f;
  if (In(IUCLC) && Local(IEXTEN) && IsUpper(byte)) byte += 'a' - 'A';
  if (literal_next_) {
    literal_next_ = false;
    Insert(byte, echo);
    return;
  }
  if (FlowControl(byte, effects)) return;
  if (SignalCharacter(byte, echo, effects)) return;
  if (In(IXON) && In(IXANY) && Start()) effects->output_started = true;
  bool was_return = false;
  if (byte == '\r') {
    if (In(IGNCR)) return;
    was_return = In(ICRNL);
    if (was_return) byte = '\n';
  } else if (byte == '\n' && In(INLCR)) {
    byte = '\r';
  }
  if (canonical() && (EditCharacter(byte, echo) || LineEnd(byte, echo))) return;
  if (was_return) {
    if (Local(ECHO)) EchoPlain('\n', echo);
    Append(byte, echo);
    return;
  }
  Insert(byte, echo);
}

bool LineDiscipline::FlowControl(uint8_t byte, Effects* effects) {
  if (!In(IXON)) return false;
  if (Is(byte, VSTART)) {
    if (Start()) effects->output_started = true;
    return true;
  }
  if (!Is(byte, VSTOP)) return false;
  stopped_ = true;
  return true;
}

bool LineDiscipline::SignalCharacter(uint8_t byte, std::string* echo, Effects* effects) {
  if (!Local(ISIG)) return false;
  int signo = 0;
  if (Is(byte, VSUSP)) signo = SIGTSTP;
  if (Is(byte, VQUIT)) signo = SIGQUIT;
  if (Is(byte, VINTR)) signo = SIGINT;
  if (signo == 0) return false;
  effects->signals.push_back(signo);
  if (!Local(NOFLSH)) {
    FlushInput();
    // What was to be echoed never gets to the screen.
    echo->clear();
    column_ = start_column_;
    edit_column_ = start_edit_column_;
    effects->flush_output = true;
  }
  if (In(IXON) && Start()) effects->output_started = true;
  if (Local(ECHO)) EchoByte(byte, echo);
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
    if (!Local(ECHO)) return true;
    FinishErasing(echo);
    if (!Local(ECHOCTL)) return true;
    EchoPlain('^', echo);
    EchoPlain('\b', echo);
    return true;
  }
  if (extended && Local(ECHO) && Is(byte, VREPRINT)) {
    FinishErasing(echo);
    EchoByte(byte, echo);
    EchoPlain('\n', echo);
    for (size_t i = edit_start_; i < input_.size(); ++i) EchoByte(static_cast<uint8_t>(input_[i]), echo);
    return true;
  }
  return false;
}

bool LineDiscipline::LineEnd(uint8_t byte, std::string* echo) {
  Cell cell;
  if (byte == '\n') {
    if (Local(ECHO) || Local(ECHONL)) EchoPlain('\n', echo);
    cell = '\n' | kLineEnd;
  } else if (Is(byte, VEOF)) {
    cell = kEof | kLineEnd;
  } else if (Is(byte, VEOL) || (Local(IEXTEN) && Is(byte, VEOL2))) {
    if (Local(ECHO)) {
      if (edit_start_ == input_.size()) edit_column_ = column_;
      EchoByte(byte, echo);
    }
    if (byte == 0xff && In(PARMRK)) input_.push_back(byte);
    cell = static_cast<Cell>(byte | kLineEnd);
  } else {
    return false;
  }
  // Append keeps the last place free, so that a line can always end.
  input_.push_back(cell);
  edit_start_ = input_.size();
  return true;
}

void LineDiscipline::Insert(uint8_t byte, std::string* echo) {
  if (Local(ECHO) && input_.size() < kCapacity - 1) {
    FinishErasing(echo);
    if (edit_start_ == input_.size()) edit_column_ = column_;
    EchoByte(byte, echo);
  }
  Append(byte, echo);
}

void LineDiscipline::Append(uint8_t byte, std::string* echo) {
  if (input_.size() >= kCapacity - 1) {
    if (In(IMAXBEL)) echo->push_back('\a');
    return;
  }
  if (byte == 0xff && In(PARMRK)) input_.push_back(byte);  // termios(3): \377 is read as \377 \377
  input_.push_back(byte);
}

bool LineDiscipline::IsContinuation(Cell cell) const { return In(IUTF8) && (cell & 0xc0) == 0x80; }

// VERASE, VWERASE or VKILL. Linux: eraser.
void LineDiscipline::Erase(uint8_t byte, std::string* echo) {
  if (input_.size() == edit_start_) return;
  const EraseKind kind = Is(byte, VERASE)                     ? EraseKind::kOne
                         : Is(byte, VWERASE) && Local(IEXTEN) ? EraseKind::kWord
                                                              : EraseKind::kLine;
  if (kind == EraseKind::kLine && !(Local(ECHO) && Local(ECHOK) && Local(ECHOKE) && Local(ECHOE))) {
    input_.resize(edit_start_);
    if (!Local(ECHO)) return;
    FinishErasing(echo);
    EchoByte(byte, echo);
    if (Local(ECHOK)) EchoPlain('\n', echo);
    return;
  }
  bool seen_word = false;
  while (input_.size() > edit_start_) {
    size_t first = input_.size() - 1;
    while (IsContinuation(input_[first]) && first > edit_start_) --first;
    if (IsContinuation(input_[first])) break;  // Linux: no half of a character
    const bool in_word = IsWordByte(static_cast<uint8_t>(input_[first]));
    if (kind == EraseKind::kWord && seen_word && !in_word) break;
    seen_word |= in_word;
    const std::vector<Cell> erased(input_.begin() + static_cast<ptrdiff_t>(first), input_.end());
    input_.resize(first);
    if (Local(ECHO)) EchoErased(erased, kind, echo);
    if (kind == EraseKind::kOne) break;
  }
  if (input_.size() == edit_start_ && Local(ECHO)) FinishErasing(echo);
}

void LineDiscipline::EchoErased(const std::vector<Cell>& erased, EraseKind kind, std::string* echo) {
  const auto byte = static_cast<uint8_t>(erased.front());
  if (Local(ECHOPRT)) {  // as on a printing terminal: \what was erased/
    if (!erasing_) EchoPlain('\\', echo);
    erasing_ = true;
    EchoByte(byte, echo);
    for (size_t i = 1; i < erased.size(); ++i) {
      EchoPlain(static_cast<uint8_t>(erased[i]), echo);
      if (column_ > 0) --column_;
    }
    return;
  }
  if (kind == EraseKind::kOne && !Local(ECHOE)) {
    EchoByte(termios_.c_cc[VERASE], echo);
    return;
  }
  if (byte == '\t') {
    EchoErasedTab(echo);
    return;
  }
  if (IsControl(byte) && !Local(ECHOCTL)) return;
  for (int i = 0; i < (IsControl(byte) ? 2 : 1); ++i) {
    for (const char c : kEraseOne) EchoPlain(static_cast<uint8_t>(c), echo);
  }
}

// The cursor goes back over as many columns as the tab had taken.
void LineDiscipline::EchoErasedTab(std::string* echo) {
  unsigned before = 0;
  bool behind_tab = false;
  for (size_t i = input_.size(); i > edit_start_ && !behind_tab; --i) {
    const auto byte = static_cast<uint8_t>(input_[i - 1]);
    behind_tab = byte == '\t';
    if (behind_tab) break;
    if (IsControl(byte)) {
      if (Local(ECHOCTL)) before += 2;
    } else if (!IsContinuation(byte)) {
      ++before;
    }
  }
  if (!behind_tab) before += edit_column_;
  const unsigned back = 8 - before % 8;
  echo->append(back, '\b');
  column_ -= std::min(column_, back);
}

void LineDiscipline::FinishErasing(std::string* echo) {
  if (!std::exchange(erasing_, false)) return;
  EchoPlain('/', echo);
}

// Linux: echo_char.
void LineDiscipline::EchoByte(uint8_t byte, std::string* echo) {
  if (Local(ECHOCTL) && IsControl(byte) && byte != '\t') {
    echo->push_back('^');
    echo->push_back(static_cast<char>(byte ^ 0x40));
    column_ += 2;
    return;
  }
  EchoPlain(byte, echo);
}

// Linux: echo_char_raw.
void LineDiscipline::EchoPlain(uint8_t byte, std::string* echo) {
  if (byte == 0xff) {  // the mark of Linux's echo buffer, which goes its own way
    echo->push_back(static_cast<char>(byte));
    ++column_;
  } else if (Out(OPOST)) {
    PutOutput(byte, echo);
  } else {
    echo->push_back(static_cast<char>(byte));
  }
}

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
  literal_next_ = false;
  erasing_ = false;
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
        edit_column_ = column_ = 0;
        out->append("\r\n");
        return;
      }
      edit_column_ = column_;
      break;
    case '\r':
      if (Out(ONOCR) && column_ == 0) return;
      if (Out(OCRNL)) {
        if (Out(ONLRET)) edit_column_ = column_ = 0;
        out->push_back('\n');
        return;
      }
      edit_column_ = column_ = 0;
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
      if (Out(OLCUC) && IsLower(byte)) byte -= 'a' - 'A';
      if (!IsContinuation(byte)) ++column_;
      break;
  }
  out->push_back(static_cast<char>(byte));
}

}  // namespace cloister::tty
