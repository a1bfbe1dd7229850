// The stub's entry points. Calls follow the C++ ABI unless they say otherwise.

#include "platform/stub/offsets.h"

        .section .gate, "ax", @progbits
// The gate (kGate). In: the kernel's registers. The filter knows the address behind `syscall`.
        .globl  stub_gate
stub_gate:
        syscall
        ret

        .text
// SA_RESTORER: the stack pointer is 8 above the signal frame's start, as rt_sigreturn(2) wants it.
        .globl  stub_restore
stub_restore:
        mov     $15, %eax
        jmp     stub_gate

// void stub_return_to(ucontext*): leaves through another frame than the one underfoot.
        .globl  stub_return_to
stub_return_to:
        mov     %rdi, %rsp
        jmp     stub_restore

// First code of a thread made on shared memory. Its stack holds this address (taken by the gate's
// ret), its ucontext and its token; the handler has filled them (clone.cc).
        .globl  stub_thread_entry
stub_thread_entry:
        pop     %rdi
        pop     %rsi
        xor     %ebp, %ebp
        call    stub_thread_start
        ud2

// uint64_t stub_copy(dst, src, n): bytes not copied, because the memory could not be accessed.
        .globl  stub_copy, stub_copy_at, stub_copy_fix
stub_copy:
        mov     %rdx, %rcx
stub_copy_at:
        rep movsb
stub_copy_fix:
        mov     %rcx, %rax
        ret

// long stub_cmpxchg(addr, expected, desired): the 32-bit value found, or -EFAULT.
        .globl  stub_cmpxchg, stub_cmpxchg_at, stub_cmpxchg_fix
stub_cmpxchg:
        mov     %esi, %eax
stub_cmpxchg_at:
        lock cmpxchg %edx, (%rdi)
        mov     %eax, %eax
        ret
stub_cmpxchg_fix:
        mov     $-14, %rax
        ret

// bool stub_gs_is_ours(): false where the application has taken GS for itself.
        .globl  stub_gs_is_ours, stub_gs_at, stub_gs_fix
stub_gs_is_ours:
        xor     %eax, %eax
stub_gs_at:
        cmpl    $STUB_MAGIC, %gs:STUB_CONTEXT_MAGIC
        sete    %al
        ret
stub_gs_fix:
        xor     %eax, %eax
        ret

// A patched call, from its table entry. In: rax = number, rcx = address to return to; r11 is free, as for
// `syscall`, and the arithmetic flags are given up. All else is the guest's; its stack is not touched.
// The first instruction faults, or goes to the second label, where GS is not ours.
// At stub_compare_entry r11 is the table entry of a site that compares behind the call.
        .globl  stub_entry, stub_compare_entry
stub_compare_entry:
        cmpl    $STUB_MAGIC, %gs:STUB_CONTEXT_MAGIC
        jne     stub_entry_refused
        mov     %r11, %gs:STUB_CONTEXT_COMPARES
        jmp     1f
stub_entry:
        cmpl    $STUB_MAGIC, %gs:STUB_CONTEXT_MAGIC
        jne     stub_entry_refused
        movq    $0, %gs:STUB_CONTEXT_COMPARES
1:      mov     %gs:STUB_CONTEXT_SELF, %r11
        mov     %rdi, STUB_REG_RDI(%r11)
        mov     %rsi, STUB_REG_RSI(%r11)
        mov     %rdx, STUB_REG_RDX(%r11)
        mov     %r10, STUB_REG_R10(%r11)
        mov     %r8, STUB_REG_R8(%r11)
        mov     %r9, STUB_REG_R9(%r11)
        mov     %rax, STUB_REG_RAX(%r11)
        mov     %rax, STUB_REG_ORIG_RAX(%r11)
        mov     %rcx, STUB_REG_RCX(%r11)
        mov     %rcx, STUB_REG_RIP(%r11)
        mov     %rbx, STUB_REG_RBX(%r11)
        mov     %rbp, STUB_REG_RBP(%r11)
        mov     %r12, STUB_REG_R12(%r11)
        mov     %r13, STUB_REG_R13(%r11)
        mov     %r14, STUB_REG_R14(%r11)
        mov     %r15, STUB_REG_R15(%r11)
        mov     %rsp, STUB_REG_RSP(%r11)
        mov     %r11, %rbx
        mov     STUB_CONTEXT_STACK(%rbx), %rsp
        pushfq
        pop     %r11
        mov     %r11, STUB_REG_R11(%rbx)
        mov     %r11, STUB_REG_EFLAGS(%rbx)
        movq    $STUB_USER_CS, STUB_REG_CS(%rbx)
        movq    $STUB_USER_SS, STUB_REG_SS(%rbx)
        cld
        xor     %ebp, %ebp
        mov     %rbx, %rdi
        call    stub_serve
        mov     STUB_CONTEXT_COMPARES(%rbx), %rsi
        test    %rsi, %rsi
        jz      stub_exit
        mov     %rbx, %rdi
        call    stub_compare

// Back to the guest with the registers of the context page. An interrupt anywhere between the labels begins
// here again (handler.cc), so that none is missed.
        .globl  stub_exit, stub_exit_jump, stub_exit_end
stub_exit:
        mov     %gs:STUB_CONTEXT_SELF, %rbx
        mov     STUB_CONTEXT_STACK(%rbx), %rsp
        cmpl    $0, STUB_CONTEXT_INTERRUPTED(%rbx)
        jne     1f
        pushq   STUB_REG_EFLAGS(%rbx)
        popfq
        mov     STUB_REG_RDI(%rbx), %rdi
        mov     STUB_REG_RSI(%rbx), %rsi
        mov     STUB_REG_RDX(%rbx), %rdx
        mov     STUB_REG_R10(%rbx), %r10
        mov     STUB_REG_R8(%rbx), %r8
        mov     STUB_REG_R9(%rbx), %r9
        mov     STUB_REG_RAX(%rbx), %rax
        mov     STUB_REG_RCX(%rbx), %rcx
        mov     STUB_REG_R11(%rbx), %r11
        mov     STUB_REG_RBP(%rbx), %rbp
        mov     STUB_REG_R12(%rbx), %r12
        mov     STUB_REG_R13(%rbx), %r13
        mov     STUB_REG_R14(%rbx), %r14
        mov     STUB_REG_R15(%rbx), %r15
        mov     STUB_REG_RSP(%rbx), %rsp
        mov     STUB_REG_RBX(%rbx), %rbx
stub_exit_jump:
        jmp     *%gs:STUB_REG_RIP
stub_exit_end:
1:      mov     %rbx, %rdi
        call    stub_serve_interrupt
        jmp     stub_exit

// The handler finds the number of the call in rax and its return address in rcx.
        .globl  stub_entry_refused
stub_entry_refused:
        ud2

        .globl  stub_reframe, stub_reframe_return
stub_reframe:
        mov     $STUB_REFRAME_NR, %eax
        syscall
stub_reframe_return:
        ud2

// void stub_trap_once(): a call from outside the gate, so that the filter traps it.
        .globl  stub_trap_once
stub_trap_once:
        mov     $39, %eax
        syscall
        ud2

// long stub_sleep(context, nr, args). An interrupt between the labels, or on the gate's `syscall`, goes on at
// stub_sleep_refused (handler.cc): none is slept through.
        .globl  stub_sleep, stub_sleep_check, stub_sleep_refused
stub_sleep:
        mov     %rdi, %rcx
        mov     %rsi, %rax
        mov     %rdx, %r11
        mov     (%r11), %rdi
        mov     8(%r11), %rsi
        mov     16(%r11), %rdx
        mov     24(%r11), %r10
        mov     32(%r11), %r8
        mov     40(%r11), %r9
stub_sleep_check:
        cmpl    $0, STUB_CONTEXT_INTERRUPTED(%rcx)
        jne     stub_sleep_refused
        jmp     stub_gate
stub_sleep_refused:
        mov     $-4, %rax
        ret

        .section .note.GNU-stack, "", @progbits
