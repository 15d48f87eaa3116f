/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of IP addresses, "10.0.0.0/8" or "fd00::/8" (RFC 4632, RFC 4291 2.3).
 */
#ifndef MUSTER_COMMON_BASE_CIDR_H
#define MUSTER_COMMON_BASE_CIDR_H

#include "common/base/str.h"

struct cidr {
	uint8_t bytes[16];
	uint8_t size; /* 4 or 16 */
	uint8_t bits;
};

int cidr_parse(struct str text, struct cidr *out); /* ST_INVALID */
/* An address of 4 or 16 bytes; an IPv4-mapped one (RFC 4291 2.5.5.2) counts as IPv4. */
bool cidr_has(const struct cidr *c, const void *address, size_t size);

#endif
