// Guest code for the tests: copied to kCode, so it must not depend on where it lies.
// The guest's data page is at 0x20000000.

        .section .rodata
        .globl guest_begin, guest_end
        .globl guest_call, guest_fault, guest_spin, guest_loop, guest_fp, guest_store, guest_tls
        .globl guest_after_gate, guest_int80, guest_scribble, guest_wait_flag, guest_ud2, guest_vsyscall
guest_begin:

// Two calls in a row; the first one's result is in rbx at the second.
guest_call:
        mov     $1234, %eax
        syscall
        mov     %rax, %rbx
        mov     $99, %eax
        syscall
        ud2

guest_fault:
        mov     $0xdead0000, %eax
        mov     (%rax), %rbx
        ud2

guest_spin:
        incq    0x20000000
        pause
        jmp     guest_spin

// r15 calls of number 39, then 60.
guest_loop:
        mov     $39, %eax
        syscall
        dec     %r15
        jnz     guest_loop
        mov     $60, %eax
        syscall
        ud2

// rbx and r12 through xmm5 and xmm13 across a call, back into r13 and r14.
guest_fp:
        movq    %rbx, %xmm5
        movq    %r12, %xmm13
        mov     $39, %eax
        syscall
        movq    %xmm5, %r13
        movq    %xmm13, %r14
        mov     $40, %eax
        syscall
        jmp     guest_fp

// Stores rbx into the data page, loads it back into r12, and calls.
guest_store:
        mov     %rbx, 0x20000000
        mov     0x20000000, %r12
        mov     $41, %eax
        syscall
        ud2

// The word at FS:0 into r12, and calls.
guest_tls:
        mov     %fs:0, %r12
        mov     $42, %eax
        syscall
        ud2

// Where a guest that jumped into the gate comes back to.
guest_after_gate:
        mov     %rax, %r12
        mov     $43, %eax
        syscall
        ud2

guest_int80:
        mov     $20, %eax
        int     $0x80
        ud2

// Overwrites r14 bytes at r13 with noise, for ever.
guest_scribble:
        mov     %r13, %rdi
        mov     %r14, %rcx
        shr     $3, %rcx
1:      imul    $0x343fd, %rax, %rax
        add     $0x269ec3, %rax
        mov     %rax, (%rdi)
        add     $8, %rdi
        loop    1b
        jmp     guest_scribble

// Waits until the word at the data page is not zero, then calls.
guest_wait_flag:
        pause
        cmpq    $0, 0x20000000
        je      guest_wait_flag
        mov     $44, %eax
        syscall
        ud2

guest_ud2:
        ud2

guest_vsyscall:
        mov     $0xffffffffff600000, %rax
        call    *%rax
        mov     %rax, %rbx
        mov     $45, %eax
        syscall
        ud2
guest_end:

        .section .note.GNU-stack, "", @progbits
