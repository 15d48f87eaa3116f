/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of IP addresses.
 */
#include "common/base/cidr.h"

#include <arpa/inet.h>

#include "common/base/err.h"

int cidr_parse(struct str text, struct cidr *out)
{
	struct str bits_text, address = str_split(text, '/', &bits_text);
	bool v6 = str_find(address, ':') >= 0;
	char z[INET6_ADDRSTRLEN] = "";
	uint64_t bits;

	*out = (struct cidr) { .size = v6 ? 16 : 4 };
	if (address.n >= sizeof(z) || str_to_u64(bits_text, &bits) || bits > out->size * 8u) {
		return ST_INVALID;
	}
	memcpy(z, address.p, address.n);
	out->bits = (uint8_t)bits;
	return inet_pton(v6 ? AF_INET6 : AF_INET, z, out->bytes) == 1 ? 0 : ST_INVALID;
}

bool cidr_has(const struct cidr *c, const void *address, size_t size)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *bytes = address;
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (size == 16 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
		bytes += sizeof(mapped);
		size = 4;
	}
	if (size != c->size || memcmp(c->bytes, bytes, whole) != 0) {
		return false;
	}
	return !rest || !((c->bytes[whole] ^ bytes[whole]) >> (8 - rest));
}
