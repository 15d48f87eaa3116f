/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing queries. Lenient where Consul's DNS library is (a message may end after any complete
 * field; trailing bytes are ignored), strict about everything that is there.
 */
#include "dnsd/core/wire.h"

enum { POINTERS_MAX = 32 };

bool wire_name_read(struct str message, size_t *at, uint8_t *out, size_t *size_out)
{
	size_t from = *at, n = 0, pointers = 0;

	for (;;) {
		uint8_t length;

		if (from >= message.n) {
			return false;
		}
		length = (uint8_t)message.p[from];
		if (length >= 0xc0) {
			if (from + 2 > message.n || pointers++ == POINTERS_MAX) {
				return false;
			}
			if (pointers == 1) {
				*at = from + 2;
			}
			from = wire_u16(message, from) & POINTER_MAX;
			continue;
		}
		if (length > DNS_LABEL_MAX || from + 1 + length > message.n ||
			n + 1 + length > DNS_NAME_MAX) {
			return false;
		}
		memcpy(out + n, message.p + from, (size_t)1 + length);
		n += (size_t)1 + length;
		from += (size_t)1 + length;
		if (length == 0) {
			break;
		}
	}
	if (!pointers) {
		*at = from;
	}
	*size_out = n;
	return true;
}

static bool byte_special(uint8_t c)
{
	return c <= ' ' || c >= 0x7f || c == '.' || c == '(' || c == ')' || c == ';' || c == '@' ||
	       c == '"' || c == '\\';
}

void subject_fill(struct subject *s)
{
	s->labels_count = 0;
	s->special = false;
	for (size_t at = 0; at < s->size;) {
		uint8_t length = s->wire[at];

		s->lower[at] = length;
		if (length == 0) {
			break;
		}
		s->at[s->labels_count++] = (uint8_t)at;
		for (size_t i = at + 1; i <= at + length; i++) {
			uint8_t c = s->wire[i];

			s->special |= byte_special(c);
			s->lower[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
		}
		at += (size_t)1 + length;
	}
}

/* RFC 7871 6: family, source prefix, scope prefix, address. */
static bool ecs_valid(struct str data)
{
	uint16_t family;
	uint8_t source, scope;

	if (data.n < 4) {
		return false;
	}
	family = wire_u16(data, 0);
	source = (uint8_t)data.p[2];
	scope = (uint8_t)data.p[3];
	switch (family) {
	case 0:
		return source == 0;
	case 1:
		return source <= 32 && scope <= 32;
	case 2:
		return source <= 128 && scope <= 128;
	default:
		return false;
	}
}

static bool options_parse(struct str data, struct query *q)
{
	size_t at = 0;

	q->ecs = q->peer = STR_NONE;
	while (at < data.n) {
		uint16_t code, size;

		if (data.n - at < 4) {
			return false;
		}
		code = wire_u16(data, at);
		size = wire_u16(data, at + 2);
		at += 4;
		if (size > data.n - at) {
			return false;
		}
		if (code == OPTION_ECS) {
			q->ecs = str_n(data.p + at, size);
			if (!ecs_valid(q->ecs)) {
				return false;
			}
		} else if (code == OPTION_PEER) {
			q->peer = str_n(data.p + at, size);
		}
		at += size;
	}
	return true;
}

/* Goes over the records behind the question; only OPT means something to us, the last one if there
 * are several. */
static bool records_parse(
	struct str message, size_t at, unsigned count, unsigned additional_from, struct query *q)
{
	uint8_t name[DNS_NAME_MAX];
	size_t name_n;

	for (unsigned i = 0; i < count && at < message.n; i++) {
		uint16_t type, class, size;

		if (!wire_name_read(message, &at, name, &name_n) || message.n - at < 10) {
			return false;
		}
		type = wire_u16(message, at);
		class = wire_u16(message, at + 2);
		size = wire_u16(message, at + 8);
		at += 10;
		if (size > message.n - at) {
			return false;
		}
		if (type == TYPE_OPT) {
			if (!options_parse(str_n(message.p + at, size), q)) {
				return false;
			}
			q->edns = i >= additional_from;
			q->edns_size = class;
		}
		at += size;
	}
	return true;
}

static bool question_parse(struct str message, size_t *at, struct query *q)
{
	if (!wire_name_read(message, at, q->subject.wire, &q->subject.size)) {
		return false;
	}
	subject_fill(&q->subject);
	q->has_question = true;
	if (*at == message.n) {
		return true;
	}
	if (message.n - *at < 2) {
		return false;
	}
	q->type = wire_u16(message, *at);
	*at += 2;
	if (*at == message.n) {
		return true;
	}
	if (message.n - *at < 2) {
		return false;
	}
	q->class = wire_u16(message, *at);
	*at += 2;
	return true;
}

enum query_verdict query_parse(struct str message, struct query *out)
{
	struct query *q = out;
	uint16_t questions, answers, authorities, additionals;
	unsigned opcode;
	size_t at = DNS_HEADER_SIZE;

	if (message.n < DNS_HEADER_SIZE) {
		return QUERY_DROP;
	}
	q->id = wire_u16(message, 0);
	q->flags = wire_u16(message, 2);
	q->type = q->class = 0;
	q->has_question = q->edns = false;
	q->edns_size = 0;
	q->ecs_scoped = false;
	q->ecs = q->peer = STR_NONE;
	if (q->flags & FLAG_QR) {
		return QUERY_DROP;
	}
	opcode = (q->flags & FLAG_OPCODE) >> 11;
	if (opcode != OPCODE_QUERY && opcode != OPCODE_NOTIFY) {
		return QUERY_NOTIMP;
	}
	questions = wire_u16(message, 4);
	answers = wire_u16(message, 6);
	authorities = wire_u16(message, 8);
	additionals = wire_u16(message, 10);
	if (questions != 1 || answers > 1 || authorities > 1 || additionals > 2) {
		return QUERY_FORMERR;
	}
	if (at == message.n) {
		return QUERY_OK;
	}
	if (!question_parse(message, &at, q)) {
		q->has_question = false;
		return QUERY_FORMERR;
	}
	if (!records_parse(message, at, (unsigned)answers + authorities + additionals,
		    (unsigned)answers + authorities, q)) {
		return QUERY_FORMERR;
	}
	return QUERY_OK;
}
