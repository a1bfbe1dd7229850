// Entry points of the image whose processes are traced (tracee_layout.h). Every path that the tracer sends a
// thread on is made of registers alone, since other threads of the process can write all of its memory, and
// ends in int3.

#include "platform/stub/tracee_offsets.h"

        .section .gate, "ax", @progbits
// One host call. In: the kernel's registers.
        .globl  tracee_gate
tracee_gate:
        syscall
        int3

// rax = the 32-bit word at rdi, which becomes edx if it is eax.
        .org    TRACEE_EXCHANGE_OFFSET
tracee_exchange:
        lock cmpxchg %edx, (%rdi)
        int3

// Receives a descriptor by the message header at r15, and maps it: mmap(rbx, rbp, r12, r13, it, r14). It gets
// number 0, the lowest one, which a thread that died on this way may have left open.
        .org    TRACEE_MAP_FILE_OFFSET
tracee_map_file:
        xor     %edi, %edi
        mov     $3, %eax                        // close
        syscall
        mov     $TRACEE_SOCKET, %edi
        mov     %r15, %rsi
        mov     $0x40000040, %edx               // MSG_CMSG_CLOEXEC | MSG_DONTWAIT
        mov     $47, %eax                       // recvmsg
        syscall
        test    %rax, %rax
        js      1f
        mov     %rbx, %rdi
        mov     %rbp, %rsi
        mov     %r12, %rdx
        mov     %r13, %r10
        xor     %r8d, %r8d
        mov     %r14, %r9
        mov     $9, %eax                        // mmap
        syscall
        mov     %rax, %rbx
        xor     %edi, %edi
        mov     $3, %eax                        // close
        syscall
        mov     %rbx, %rax
1:      int3

        .text
// The booting zygote's host calls.
        .globl  stub_gate
stub_gate:
        syscall
        ret

        .section .note.GNU-stack, "", @progbits
