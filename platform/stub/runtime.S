// What each image needs, whatever its gate is: stub_gate is `syscall; ret`.

        .text
// long stub_call(nr, a0, a1, a2, a3, a4, a5): one host call.
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

// The program's entry: hands the initial stack (argc, argv, envp, auxv) to the boot code.
        .globl  stub_start
stub_start:
        xor     %ebp, %ebp
        mov     %rsp, %rdi
        and     $-16, %rsp
        call    stub_boot
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
