/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying.
 */
#include "tests/sim/quorum/machine.h"

#include "common/base/hash.h"

void command_encode(struct buf *out, const struct command *c)
{
	buf_put(out, c, sizeof(*c));
	memset(buf_reserve(out, c->padding), (int)(c->value & 0xff), c->padding);
	out->n += c->padding;
}

bool command_decode(struct str bytes, struct command *out)
{
	if (bytes.n < sizeof(*out)) {
		return false;
	}
	memcpy(out, bytes.p, sizeof(*out));
	return out->client < CLIENTS && out->reg < REGISTERS &&
	       bytes.n == sizeof(*out) + out->padding;
}

bool machine_apply(
	struct machine *m, uint64_t index, uint64_t term, struct str body, const struct command *c)
{
	bool fresh;

	must(index == m->applied + 1);
	m->applied = index;
	m->term = term;
	m->digest = hash64_mix(hash64_mix(m->digest, hash64(body, term)), index);
	if (!c) {
		return true;
	}
	fresh = c->id > m->done[c->client];
	if (fresh) {
		m->registers[c->reg] = c->value;
		m->done[c->client] = c->id;
		m->done_index[c->client] = index;
	}
	return fresh;
}
