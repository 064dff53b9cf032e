/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_start: rdi = slot of this thread. Its stack is the end of the slot.
 * The first byte of the blob is agent_start; at byte 16 stands a system call that the tracer borrows.
 */
	.section .text.start, "ax"
	.global agent_start
agent_start:
	lea	65536(%rdi), %rsp
	xor	%ebp, %ebp
	cld
	jmp	agent_main
	.balign 16, 0x90
agent_syscall:			/* AGENT_SYSCALL_AT in arch.h */
	syscall
	ud2

/* raw_clone(nr, args, size, slot): both sides return from the kernel here; the stack may be shared
   with the parent, so the child leaves it before it touches memory. */
	.section .text, "ax"
	.global raw_clone
raw_clone:
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %r8
	syscall
	test	%rax, %rax
	jz	1f
	ret
1:	mov	%r8, %rdi
	jmp	agent_start
	.section .note.GNU-stack, "", @progbits
