/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in a message: one hash per suffix, computed from the root upwards, so that a name and all
 * its tails are looked up in one pass. Spelling counts: a pointer must not change the case of a
 * name.
 */
#include "dnsd/core/names.h"

/* A name made contiguous, with a hash for each of its suffixes. */
struct flat {
	uint8_t bytes[2 * DNS_NAME_MAX];
	size_t n;
	uint8_t at[LABELS_MAX];
	uint32_t hash[LABELS_MAX];
	unsigned count;
};

bool name_eq(const struct name *a, const struct name *b)
{
	const struct name *l = a->prefix.n >= b->prefix.n ? a : b, *s = l == a ? b : a;
	size_t more = l->prefix.n - s->prefix.n;

	if (name_size(a) != name_size(b)) {
		return false;
	}
	return memcmp(l->prefix.p, s->prefix.n ? s->prefix.p : "", s->prefix.n) == 0 &&
	       (more == 0 || memcmp(l->prefix.p + s->prefix.n, s->suffix.p, more) == 0) &&
	       memcmp(l->suffix.p, s->suffix.p + more, l->suffix.n) == 0;
}

static void flatten(const struct name *name, struct flat *f)
{
	uint32_t hash = 0x811c9dc5;

	must(name_size(name) <= sizeof(f->bytes));
	if (name->prefix.n) {
		memcpy(f->bytes, name->prefix.p, name->prefix.n);
	}
	memcpy(f->bytes + name->prefix.n, name->suffix.p, name->suffix.n);
	f->n = name_size(name);
	f->count = 0;
	for (size_t at = 0; at < DNS_NAME_MAX && f->bytes[at]; at += (size_t)1 + f->bytes[at]) {
		f->at[f->count++] = (uint8_t)at;
	}
	for (unsigned i = f->count; i-- > 0;) {
		const uint8_t *label = f->bytes + f->at[i];

		for (unsigned k = 0; k <= label[0]; k++) {
			hash = (hash ^ label[k]) * 0x01000193;
		}
		f->hash[i] = hash;
	}
}

/* Does the message hold exactly these labels at this offset? */
static bool same_at(const struct writer *w, size_t offset, const uint8_t *name)
{
	for (unsigned hops = 0; offset < w->n;) {
		uint8_t length = w->p[offset];

		if (length >= 0xc0) {
			if (offset + 2 > w->n || ++hops > LABELS_MAX) {
				return false;
			}
			offset = (size_t)(length & 0x3f) << 8 | w->p[offset + 1];
			continue;
		}
		if (length != *name || offset + 1 + length > w->n) {
			return false;
		}
		if (length == 0) {
			return true;
		}
		if (memcmp(w->p + offset + 1, name + 1, length) != 0) {
			return false;
		}
		offset += (size_t)1 + length;
		name += (size_t)1 + length;
	}
	return false;
}

static uint16_t place_find(const struct writer *w, uint32_t hash, const uint8_t *name)
{
	for (uint32_t i = hash;; i++) {
		const struct place *place = &w->places->slots[i % PLACES_COUNT];

		if (place->stamp != w->places->stamp) {
			return 0;
		}
		if (place->hash == hash && same_at(w, place->offset, name)) {
			return place->offset;
		}
	}
}

static void place_add(struct writer *w, uint32_t hash, size_t offset)
{
	if (offset > POINTER_MAX || w->places->used == PLACES_MAX) {
		return;
	}
	for (uint32_t i = hash;; i++) {
		struct place *place = &w->places->slots[i % PLACES_COUNT];

		if (place->stamp != w->places->stamp) {
			*place = (struct place) { hash, (uint16_t)offset, w->places->stamp };
			w->places->used++;
			return;
		}
	}
}

void writer_start(struct writer *w, struct places *places, uint8_t *p, size_t max, bool compress)
{
	*w = (struct writer) { .places = places, .p = p, .max = max, .compress = compress };
	places->used = 0;
	if (++places->stamp == 0) {
		memset(places->slots, 0, sizeof(places->slots));
		places->stamp = 1;
	}
}

void name_put(struct writer *w, const struct name *name, bool pointers)
{
	struct flat f;
	unsigned known = 0;
	uint16_t place = 0;

	pointers = pointers && w->compress;
	if (pointers && w->question && name->prefix.n == 0 && name->suffix.p == w->question) {
		wire_put_u16(w->p + w->n, 0xc000 | DNS_HEADER_SIZE);
		w->n += 2;
		w->plain += name->suffix.n;
		return;
	}
	flatten(name, &f);
	while (known < f.count && !(place = place_find(w, f.hash[known], f.bytes + f.at[known]))) {
		known++;
	}
	for (unsigned i = 0; i < known; i++) {
		place_add(w, f.hash[i], w->n + f.at[i]);
	}
	w->plain += f.n;
	if (pointers && known < f.count) {
		memcpy(w->p + w->n, f.bytes, f.at[known]);
		wire_put_u16(w->p + w->n + f.at[known], 0xc000 | place);
		w->n += (size_t)f.at[known] + 2;
		return;
	}
	memcpy(w->p + w->n, f.bytes, f.n);
	w->n += f.n;
}

bool name_known(struct writer *w, const struct name *name)
{
	struct flat f;

	flatten(name, &f);
	return f.count && place_find(w, f.hash[0], f.bytes) != 0;
}
