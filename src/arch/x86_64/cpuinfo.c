// SPDX-License-Identifier: Apache-2.0
/*
 * cpuinfo: what a program may have found out about its processor and relies on from then on.
 * Source: Intel SDM vol. 2 (CPUID), AMD APM vol. 3, appendix E; the order of the words is Linux's.
 */
#include "arch/arch.h"

#include "base/res.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>

#define CAP_VERSION 2
#define CAP_WORDS 11 /* beyond these the order is not the same everywhere: see leaf7 */
#define WORD_D_1_EAX 10
#define D_XSAVES (1u << 3)

enum reg { EAX, EBX, ECX, EDX };

/* Words whose bits are instructions; the others of Linux's list tell of the kernel or of makers long gone. */
static const struct word {
	unsigned at, leaf, sub;
	enum reg reg;
	uint32_t ins; /* instructions that a program may use; the rest is for kernels, or a hint only */
	const char *name;
} words[] = {
	{ 0, 1, 0, EDX, 0x07888111, "1.EDX" },
	{ 1, 0x80000001, 0, EDX, 0xe8400800, "80000001.EDX" },
	{ 4, 1, 0, ECX, 0x7ed83203, "1.ECX" },
	{ 6, 0x80000001, 0, ECX, 0x202189e1, "80000001.ECX" },
	{ 9, 7, 0, EBX, 0xfdad4939, "7.EBX" },
	{ WORD_D_1_EAX, 0xd, 1, EAX, 0x00000007, "D.1.EAX" },
};

/* The same of leaf 7 in fields of our own. */
static const struct word sevens[] = {
	{ 0, 7, 0, ECX, 0x3a405f73, "7.ECX" },
	{ 1, 7, 0, EDX, 0x03c0410c, "7.EDX" },
	{ 2, 7, 1, EAX, 0x00e00037, "7.1.EAX" },
};

static uint32_t cpuid_word(const struct word *w)
{
	uint32_t v[4] = { 0 };

	__get_cpuid_count(w->leaf, w->sub, &v[EAX], &v[EBX], &v[ECX], &v[EDX]);
	return v[w->reg];
}

static void fill_model(CpuinfoX86Entry *e)
{
	uint32_t v[4] = { 0 }, name[12] = { 0 };

	__get_cpuid(1, &v[EAX], &v[EBX], &v[ECX], &v[EDX]);
	e->stepping = v[EAX] & 15;
	e->model = v[EAX] >> 4 & 15;
	e->cpu_family = v[EAX] >> 8 & 15;
	if (e->cpu_family == 6 || e->cpu_family == 15)
		e->model |= v[EAX] >> 12 & 0xf0;
	if (e->cpu_family == 15)
		e->cpu_family += v[EAX] >> 20 & 0xff;
	for (unsigned i = 0; i < 3; i++)
		__get_cpuid(0x80000002 + i, &name[4 * i], &name[4 * i + 1], &name[4 * i + 2], &name[4 * i + 3]);
	e->model_id = xalloc(sizeof(name) + 1);
	memcpy(e->model_id, name, sizeof(name));
}

static void fill_vendor(CpuinfoX86Entry *e)
{
	uint32_t max = 0, name[3] = { 0 };

	__get_cpuid(0, &max, &name[0], &name[2], &name[1]);
	e->vendor_id = !memcmp(name, "GenuineIntel", 12) ? CPUINFO_X86_ENTRY__VENDOR__INTEL :
		       !memcmp(name, "AuthenticAMD", 12) ? CPUINFO_X86_ENTRY__VENDOR__AMD :
							   CPUINFO_X86_ENTRY__VENDOR__UNKNOWN;
}

static void fill_xsave(CpuinfoX86Entry *e)
{
	uint32_t v[4] = { 0 }, lo, hi;

	__get_cpuid(1, &v[EAX], &v[EBX], &v[ECX], &v[EDX]);
	e->has_xfeatures_mask = e->has_xsave_size = e->has_xsave_size_max = true;
	if (!(v[ECX] & bit_OSXSAVE))
		return;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	e->xfeatures_mask = (uint64_t)hi << 32 | lo;
	__get_cpuid_count(0xd, 0, &v[EAX], &v[EBX], &v[ECX], &v[EDX]);
	e->xsave_size = v[EBX];
	e->xsave_size_max = v[ECX];
}

void arch_cpuinfo(CpuinfoX86Entry *e)
{
	cpuinfo_x86_entry__init(e);
	fill_vendor(e);
	fill_model(e);
	fill_xsave(e);
	e->capability_ver = CAP_VERSION;
	e->n_capability = CAP_WORDS;
	e->capability = xalloc(CAP_WORDS * sizeof(*e->capability));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		e->capability[words[i].at] = cpuid_word(&words[i]);
	e->n_leaf7 = ARRAY_SIZE(sevens);
	e->leaf7 = xalloc(e->n_leaf7 * sizeof(*e->leaf7));
	for (size_t i = 0; i < ARRAY_SIZE(sevens); i++)
		e->leaf7[i] = cpuid_word(&sevens[i]);
}

void arch_cpuinfo_free(CpuinfoX86Entry *e)
{
	free(e->model_id);
	free(e->capability);
	free(e->leaf7);
}

/* ---- the check: an entry against the processor here ---- */

static bool lacks_words(const uint32_t *had, const uint32_t *has, size_t n, const struct word *w, size_t n_words,
			bool same, char *why, size_t max)
{
	for (size_t i = 0; i < n_words; i++) {
		uint32_t bits;

		if (w[i].at >= n)
			continue;
		bits = same ? had[w[i].at] ^ has[w[i].at] : had[w[i].at] & ~has[w[i].at] & w[i].ins;
		if (bits) {
			snprintf(why, max, "%s bits 0x%x of CPUID %s", same ? "different" : "instructions missing,",
				 bits, w[i].name);
			return true;
		}
	}
	return false;
}

static bool lacks_fpu(const CpuinfoX86Entry *e, const CpuinfoX86Entry *here, char *why, size_t max)
{
	static const struct word fpu[] = {
		{ 0, 1, 0, EDX, 1 | 1 << 24, "1.EDX" },
		{ 4, 1, 0, ECX, 1 << 27, "1.ECX" },
		{ WORD_D_1_EAX, 0xd, 1, EAX, D_XSAVES, "D.1.EAX" },
	};

	if (lacks_words(e->capability, here->capability, e->n_capability < CAP_WORDS ? e->n_capability : CAP_WORDS, fpu,
			ARRAY_SIZE(fpu), false, why, max))
		return true;
	if (e->xfeatures_mask & ~here->xfeatures_mask)
		snprintf(why, max, "parts of the floating point state missing, mask 0x%llx",
			 (unsigned long long)(e->xfeatures_mask & ~here->xfeatures_mask));
	else if (e->has_xsave_size && e->xsave_size != here->xsave_size)
		snprintf(why, max, "floating point state of %u bytes, here it has %u", e->xsave_size, here->xsave_size);
	else if (e->has_xsave_size_max && e->xsave_size_max != here->xsave_size_max)
		snprintf(why, max, "floating point state of at most %u bytes, here %u", e->xsave_size_max,
			 here->xsave_size_max);
	else
		return false;
	return true;
}

bool arch_cpuinfo_lacks(const CpuinfoX86Entry *e, uint32_t caps, char *why, size_t max)
{
	CpuinfoX86Entry here;
	bool lacks = true;
	size_t n;

	arch_cpuinfo(&here);
	n = e->n_capability < CAP_WORDS ? e->n_capability : CAP_WORDS;
	if (e->vendor_id != here.vendor_id)
		snprintf(why, max, "another maker of processors");
	else if (!(caps & CPU_CAP_FPU && lacks_fpu(e, &here, why, max)) &&
		 !(caps & (CPU_CAP_INS | CPU_CAP_CPU) &&
		   (lacks_words(e->capability, here.capability, n, words, ARRAY_SIZE(words), caps & CPU_CAP_CPU, why, max) ||
		    lacks_words(e->leaf7, here.leaf7, e->n_leaf7 < here.n_leaf7 ? e->n_leaf7 : here.n_leaf7, sevens,
				ARRAY_SIZE(sevens), caps & CPU_CAP_CPU, why, max))))
		lacks = false;
	arch_cpuinfo_free(&here);
	return lacks;
}
