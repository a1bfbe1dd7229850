// long ptrace_wait(const uint32_t* rung, siginfo_t* info): waitid(2) for any child's stop or end. The handler of
// the bell's signal moves a thread that is before the call to ptrace_wait_rung, so that none that came after the
// look at *rung is lost.

        .text
        .globl  ptrace_wait, ptrace_wait_begin, ptrace_wait_call, ptrace_wait_rung
ptrace_wait:
        mov     %rdi, %r9
        mov     %rsi, %rdx
        xor     %edi, %edi                      // P_ALL
        xor     %esi, %esi
        mov     $0x40000006, %r10d              // WSTOPPED | WEXITED | __WALL
        xor     %r8d, %r8d
        mov     $247, %eax                      // waitid
ptrace_wait_begin:
        cmpl    $0, (%r9)
        jne     ptrace_wait_rung
ptrace_wait_call:
        syscall
        ret
ptrace_wait_rung:
        mov     $-4, %rax                       // EINTR
        ret

        .section .note.GNU-stack, "", @progbits
