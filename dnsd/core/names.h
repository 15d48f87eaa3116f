/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing names into a message, with compression (RFC 1035 4.1.4). Every suffix that was written is
 * remembered by a hash; a match is always checked against the bytes in the message, so forgotten or
 * outdated places cost bytes, never correctness.
 */
#ifndef MUSTER_DNSD_CORE_NAMES_H
#define MUSTER_DNSD_CORE_NAMES_H

#include "dnsd/core/internal.h"

struct writer {
	struct places *places;
	uint8_t *p;
	size_t n, max;
	size_t plain;	      /* what n would be if nothing were compressed */
	const char *question; /* the name at offset 12, by address */
	bool compress;
	bool full; /* something did not fit and was left out */
};

void writer_start(struct writer *w, struct places *places, uint8_t *p, size_t max, bool compress);
/* The caller has made sure that the plain name fits. pointers: may be written as a pointer (SRV
 * targets may not: RFC 2782). */
void name_put(struct writer *w, const struct name *name, bool pointers);
bool name_known(
	struct writer *w, const struct name *name); /* all of it stands in the message already */

#endif
