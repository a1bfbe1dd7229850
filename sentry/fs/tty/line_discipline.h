#ifndef CLOISTER_SENTRY_FS_TTY_LINE_DISCIPLINE_H_
#define CLOISTER_SENTRY_FS_TTY_LINE_DISCIPLINE_H_

#include <asm/termbits.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace cloister::tty {

// Between the bytes of a keyboard and those of a program: editing, echo, signals, translation.
// Linux: N_TTY; termios(3). Knows no task, no lock and no wait: the Terminal that owns it locks.
class LineDiscipline {
 public:
  static constexpr size_t kCapacity = 4096;  // Linux: N_TTY_BUF_SIZE, MAX_CANON

  // What receiving did besides filling the input.
  struct Effects {
    std::vector<int> signals;   // for the foreground process group, in order
    bool flush_output = false;  // a signal character without NOFLSH: what is queued is dropped
    bool output_started = false;
  };

  LineDiscipline();

  const struct termios2& termios() const { return termios_; }
  void SetTermios(const struct termios2& termios);
  bool canonical() const { return Local(ICANON); }
  bool Local(tcflag_t flag) const { return (termios_.c_lflag & flag) != 0; }

  // How many bytes Receive may be given now; more would be lost. 0: wait until somebody has read.
  size_t Room() const;
  // Bytes that came from the keyboard. The echo goes to *echo, ready for the terminal.
  void Receive(std::string_view bytes, std::string* echo, Effects* effects);

  // Whether a read has something to return now: a line (canonical), or a byte.
  bool HasInput() const;
  // Bytes that a read may take before it must wait; what FIONREAD says.
  size_t InputBytes() const;
  // At most size bytes: of one line only (canonical), or what there is.
  size_t Read(char* dst, size_t size);
  void FlushInput();

  // What a program writes, as the terminal is to get it.
  void ProcessOutput(std::string_view bytes, std::string* out);
  // IXON or tcflow(3): output is to be held back.
  bool output_stopped() const { return stopped_; }
  // tcflow(3): TCOOFF or TCOON. True: output goes on.
  bool SetOutputStopped(bool stop);

 private:
  using Cell = uint16_t;                   // a byte and:
  static constexpr Cell kLineEnd = 0x100;  // a line ends behind it
  static constexpr Cell kEof = 0x200;      // not a byte at all: VEOF was typed

  bool In(tcflag_t flag) const { return (termios_.c_iflag & flag) != 0; }
  bool Out(tcflag_t flag) const { return (termios_.c_oflag & flag) != 0; }
  // Whether byte is the control character at index, which is not disabled.
  bool Is(uint8_t byte, int index) const;

  void ReceiveByte(uint8_t byte, std::string* echo, Effects* effects);
  bool FlowControl(uint8_t byte, Effects* effects);
  bool SignalCharacter(uint8_t byte, std::string* echo, Effects* effects);
  bool EditCharacter(uint8_t byte, std::string* echo);
  bool LineEnd(uint8_t byte, std::string* echo);
  // An ordinary byte: echoes and appends it.
  void Insert(uint8_t byte, std::string* echo);
  void Append(uint8_t byte, std::string* echo);

  enum class EraseKind { kOne, kWord, kLine };
  void Erase(uint8_t byte, std::string* echo);
  void EchoErased(const std::vector<Cell>& erased, EraseKind kind, std::string* echo);
  void EchoErasedTab(std::string* echo);
  void FinishErasing(std::string* echo);
  // A byte that was typed: a control character as ^X (ECHOCTL).
  void EchoByte(uint8_t byte, std::string* echo);
  // A byte as it is, through output processing.
  void EchoPlain(uint8_t byte, std::string* echo);
  bool IsContinuation(Cell cell) const;
  void PutOutput(uint8_t byte, std::string* out);
  void Rearrange();
  // Whether output goes on that did not.
  bool Start();

  struct termios2 termios_ = {};
  std::deque<Cell> input_;
  size_t edit_start_ = 0;      // input_ from here on is the line being edited (canonical)
  bool literal_next_ = false;  // VLNEXT was typed
  bool erasing_ = false;       // ECHOPRT: the last echo was of erased bytes
  bool stopped_ = false;
  bool flow_stopped_ = false;  // by tcflow(3), which no key undoes
  unsigned column_ = 0;        // of the cursor
  unsigned edit_column_ = 0;   // where the line being edited began
  // The same when the bytes that are being received came.
  unsigned start_column_ = 0, start_edit_column_ = 0;
};

// The modes of a new terminal. Linux: tty_std_termios.
struct termios2 DefaultTermios();

}  // namespace cloister::tty

#endif  // CLOISTER_SENTRY_FS_TTY_LINE_DISCIPLINE_H_
