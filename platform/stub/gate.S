// The stub's entry points. Calls follow the C++ ABI unless they say otherwise.

        .section .gate, "ax", @progbits
// The gate (kGate). In: the kernel's registers. The filter knows the address behind `syscall`.
        .globl  stub_gate
stub_gate:
        syscall
        ret

        .text
// long stub_call(nr, a0, a1, a2, a3, a4, a5): one host call through the gate.
        .globl  stub_call
stub_call:
        mov     %rdi, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
        mov     %r8, %r10
        mov     %r9, %r8
        mov     8(%rsp), %r9
        jmp     stub_gate

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

// The program's entry: hands the initial stack (argc, argv, envp, auxv) to the boot code.
        .globl  stub_start
stub_start:
        xor     %ebp, %ebp
        mov     %rsp, %rdi
        and     $-16, %rsp
        call    stub_boot
        ud2

// void stub_trap_once(): a call from outside the gate, so that the filter traps it.
        .globl  stub_trap_once
stub_trap_once:
        mov     $39, %eax
        syscall
        ud2

// GCC may call these on its own.
        .globl  memcpy, memset
memcpy:
        mov     %rdi, %rax
        mov     %rdx, %rcx
        rep movsb
        ret
memset:
        mov     %rdi, %r8
        mov     %esi, %eax
        mov     %rdx, %rcx
        rep stosb
        mov     %r8, %rax
        ret

        .section .note.GNU-stack, "", @progbits
