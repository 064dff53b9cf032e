/* SPDX-License-Identifier: Apache-2.0 */
	.section .rodata
	.global agent_blob, agent_blob_end
	.balign 16
agent_blob:
	.incbin "agent.bin"
agent_blob_end:
	.byte 0
	.section .note.GNU-stack,"",@progbits
