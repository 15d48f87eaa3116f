/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reader of DNS messages for tests, independent of the codec under test: a message as
 * text, one line per record, the records of a section sorted.
 */
#ifndef MUSTER_TESTS_UNIT_DNS_TEXT_H
#define MUSTER_TESTS_UNIT_DNS_TEXT_H

#include <arpa/inet.h>
#include <stdio.h>

#include "common/base/buf.h"

struct text_reader {
	const uint8_t *p;
	size_t n, at;
	bool bad;
	unsigned pointers;
};

static inline unsigned text_u(struct text_reader *r, unsigned bytes)
{
	unsigned v = 0;

	if (r->n - r->at < bytes) {
		r->bad = true;
		return 0;
	}
	while (bytes--) {
		v = v << 8 | r->p[r->at++];
	}
	return v;
}

static inline void text_name(struct text_reader *r, struct buf *out)
{
	size_t back = 0;

	for (unsigned hops = 0; !r->bad && hops < 20;) {
		unsigned length = text_u(r, 1);

		if (length >= 0xc0) {
			size_t to = (length & 0x3f) << 8 | text_u(r, 1);

			back = back ? back : r->at;
			r->bad |= to >= r->at - 2; /* pointers go backwards */
			r->at = to;
			r->pointers++;
			hops++;
			continue;
		}
		r->bad |= length > 63 || r->n - r->at < length;
		if (length == 0 || r->bad) {
			break;
		}
		buf_put(out, r->p + r->at, length);
		buf_put_char(out, '.');
		r->at += length;
	}
	if (back) {
		r->at = back;
	}
}

static inline void text_rdata(struct text_reader *r, unsigned type, unsigned size, struct buf *out)
{
	char ip[INET6_ADDRSTRLEN];
	size_t end = r->at + size;

	if (r->n - r->at < size) {
		r->bad = true;
		return;
	}
	switch (type) {
	case 1:
	case 28:
		r->bad |= size != (type == 1 ? 4 : 16);
		if (!r->bad) {
			buf_printf(out, "%s %s", type == 1 ? "A" : "AAAA",
				inet_ntop(type == 1 ? AF_INET : AF_INET6, r->p + r->at, ip,
					sizeof(ip)));
			r->at += size;
		}
		break;
	case 2:
	case 5:
	case 12:
		buf_put_cstr(out, type == 2 ? "NS " : type == 5 ? "CNAME " : "PTR ");
		text_name(r, out);
		break;
	case 33: {
		unsigned priority = text_u(r, 2), weight = text_u(r, 2), port = text_u(r, 2);

		buf_printf(out, "SRV %u %u %u ", priority, weight, port);
		text_name(r, out);
		break;
	}
	case 6:
		buf_put_cstr(out, "SOA ");
		text_name(r, out);
		buf_put_char(out, ' ');
		text_name(r, out);
		for (int i = 0; i < 5; i++) {
			buf_printf(out, " %u", text_u(r, 4));
		}
		break;
	case 16:
		buf_put_cstr(out, "TXT");
		while (r->at < end && !r->bad) {
			unsigned length = text_u(r, 1);

			r->bad |= end - r->at < length;
			buf_printf(out, " \"%.*s\"", r->bad ? 0 : (int)length,
				(const char *)r->p + r->at);
			r->at += length;
		}
		break;
	default:
		buf_printf(out, "TYPE%u %u", type, size);
		r->at += size;
	}
	r->bad |= r->at != end;
}

static inline void text_section(
	struct text_reader *r, unsigned count, const char *name, struct buf *out)
{
	char *lines[256];
	unsigned n = 0;

	for (unsigned i = 0; i < count && !r->bad; i++) {
		OWN_EMBEDDED(buf_fini) struct buf line = { 0 };
		unsigned type, class, ttl, size, at;

		text_name(r, &line);
		type = text_u(r, 2);
		class = text_u(r, 2);
		ttl = text_u(r, 4);
		size = text_u(r, 2);
		buf_printf(&line, " %u ", ttl);
		if (type == 41) {
			buf_clear(&line);
			buf_printf(&line, "OPT %u", class);
			for (unsigned k = 0; k < size; k++) {
				buf_printf(&line, "%s%02x", k ? "" : " ", text_u(r, 1));
			}
		} else {
			text_rdata(r, type, size, &line);
		}
		if (n < ARRAY_SIZE(lines)) {
			for (at = n++; at > 0 && strcmp(lines[at - 1], buf_cstr(&line)) > 0; at--) {
				lines[at] = lines[at - 1];
			}
			lines[at] = xstrdup(buf_cstr(&line));
		}
	}
	for (unsigned i = 0; i < n; i++) {
		buf_printf(out, "%s %s\n", name, lines[i]);
		free(lines[i]);
	}
}

/* "NXDOMAIN aa rd\nNS consul. 0 SOA ...\n"; "BROKEN" for what does not decode to its last byte. */
static inline void dns_text(struct buf *out, const uint8_t *p, size_t n, unsigned *pointers_out)
{
	static const char *const rcodes[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
		"NOTIMP", "REFUSED" };
	static const struct {
		unsigned bit;
		const char *name;
	} bits[] = { { 0x400, "aa" }, { 0x200, "tc" }, { 0x100, "rd" }, { 0x80, "ra" },
		{ 0x40, "z" }, { 0x20, "ad" }, { 0x10, "cd" } };
	struct text_reader r = { p, n, 2, false, 0 };
	unsigned flags = text_u(&r, 2), counts[4];

	for (int i = 0; i < 4; i++) {
		counts[i] = text_u(&r, 2);
	}
	r.bad |= !(flags & 0x8000) || (flags & 15) >= ARRAY_SIZE(rcodes);
	buf_printf(out, "%s", r.bad ? "BROKEN" : rcodes[flags & 15]);
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		if (flags & bits[i].bit) {
			buf_printf(out, " %s", bits[i].name);
		}
	}
	buf_put_char(out, '\n');
	for (unsigned i = 0; i < counts[0]; i++) {
		OWN_EMBEDDED(buf_fini) struct buf ignored = { 0 };

		text_name(&r, &ignored);
		text_u(&r, 4);
	}
	text_section(&r, counts[1], "AN", out);
	text_section(&r, counts[2], "NS", out);
	text_section(&r, counts[3], "AR", out);
	if (r.bad || r.at != n) {
		buf_put_cstr(out, "BROKEN\n");
	}
	if (pointers_out) {
		*pointers_out = r.pointers;
	}
}

#endif
