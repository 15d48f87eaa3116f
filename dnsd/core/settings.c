/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling the settings: names into DNS form, TTL patterns into two tables.
 */
#include "dnsd/core/internal.h"

int suffix_make(struct arena *arena, const char *keyword, struct str text, struct str suffix,
	struct str *out)
{
	char wire[DNS_NAME_MAX];
	size_t n, keyword_n = strlen(keyword);
	char *p;

	if (naming_name_encode(text, wire, &n)) {
		return ST_INVALID;
	}
	p = arena_alloc(arena, 1 + keyword_n + n + suffix.n + 1);
	out->p = p;
	if (keyword_n) {
		*p++ = (char)keyword_n;
		memcpy(p, keyword, keyword_n);
		p += keyword_n;
	}
	memcpy(p, wire, n);
	p += n;
	memcpy(p, suffix.p, suffix.n);
	out->n = (size_t)(p + suffix.n - out->p);
	return out->n > DNS_NAME_MAX ? ST_INVALID : 0;
}

static unsigned labels_count(struct str wire)
{
	unsigned count = 0;

	for (size_t at = 0; at < wire.n && wire.p[at]; at += (size_t)1 + (uint8_t)wire.p[at]) {
		count++;
	}
	return count;
}

static struct str lowered(struct dns *d, struct str s)
{
	char *p = arena_alloc(&d->arena, s.n + 1);

	str_lower_into(s, p);
	return str_n(p, s.n);
}

static int names_compile(struct dns *d, const struct dns_settings *s)
{
	struct str dc = lowered(d, s->datacenter);
	int r;

	d->settings.datacenter = dc;
	r = suffix_make(&d->arena, "", lowered(d, s->domain), name_root, &d->domain);
	if (!r && s->alt_domain.n) {
		r = suffix_make(
			&d->arena, "", lowered(d, s->alt_domain), name_root, &d->alt_domain);
	}
	if (!r) {
		r = suffix_make(&d->arena, "node", dc, d->domain, &d->node_suffix);
	}
	if (!r) {
		r = suffix_make(&d->arena, "service", dc, d->domain, &d->service_suffix);
	}
	if (!r) {
		r = suffix_make(&d->arena, "addr", dc, d->domain, &d->addr_suffix);
	}
	d->domain_labels = labels_count(d->domain);
	d->alt_domain_labels = labels_count(d->alt_domain);
	return r;
}

static uint32_t seconds(int64_t ns)
{
	int64_t s = ns / NS_PER_S;

	return (uint32_t)(s < 0 ? 0 : min_of(s, (int64_t)INT32_MAX));
}

static int by_name(const void *pa, const void *pb)
{
	return str_cmp(((const struct ttl_row *)pa)->name, ((const struct ttl_row *)pb)->name);
}

static int by_length(const void *pa, const void *pb)
{
	size_t a = ((const struct ttl_row *)pa)->name.n, b = ((const struct ttl_row *)pb)->name.n;

	return a == b ? by_name(pa, pb) : a > b ? -1 : 1;
}

static void ttls_compile(struct dns *d, const struct pairs *ttls)
{
	d->exact = arena_array(&d->arena, struct ttl_row, ttls->count);
	d->prefixes = arena_array(&d->arena, struct ttl_row, ttls->count);
	for (uint32_t i = 0; i < ttls->count; i++) {
		struct ttl_row row = { arena_str(&d->arena, ttls->items[i].key), 0 };
		int64_t ns;

		if (duration_parse(ttls->items[i].value, &ns, NULL)) {
			continue; /* the configuration was checked when it was loaded */
		}
		row.ttl = seconds(ns);
		if (str_ends(row.name, STR("*"))) {
			row.name.n--;
			d->prefixes[d->prefixes_count++] = row;
		} else {
			d->exact[d->exact_count++] = row;
		}
	}
	if (d->exact_count) {
		qsort(d->exact, d->exact_count, sizeof(d->exact[0]), by_name);
	}
	if (d->prefixes_count) {
		qsort(d->prefixes, d->prefixes_count, sizeof(d->prefixes[0]), by_length);
	}
}

uint32_t dns_service_ttl(const struct dns *d, struct str service)
{
	struct ttl_row key = { service, 0 };
	const struct ttl_row *row =
		d->exact_count ? bsearch(&key, d->exact, d->exact_count, sizeof(key), by_name)
			       : NULL;

	for (uint32_t i = 0; !row && i < d->prefixes_count; i++) {
		if (str_starts(service, d->prefixes[i].name)) {
			row = &d->prefixes[i];
		}
	}
	return row ? row->ttl : 0;
}

int dns_new(const struct dns_settings *settings, struct dns **out)
{
	OWN(dns_free) struct dns *d = xcalloc(1, sizeof(*d));
	const int64_t soa[] = { settings->soa_refresh, settings->soa_retry, settings->soa_expire,
		settings->soa_min_ttl };

	d->settings = *settings;
	if (names_compile(d, settings)) {
		return ST_INVALID;
	}
	ttls_compile(d, &settings->service_ttl);
	d->settings.service_ttl = (struct pairs) { 0 };
	d->settings.domain = d->settings.alt_domain = STR_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(soa); i++) {
		wire_put_u32((uint8_t *)d->soa_numbers + 4 * i, (uint32_t)soa[i]);
	}
	*out = take(d);
	return 0;
}

void dns_free(struct dns *d)
{
	arena_fini(&d->arena);
	arena_fini(&d->scratch);
	free(d->answers.items);
	free(d->authorities.items);
	free(d->extras.items);
	shuffle_fini(&d->shuffle);
	free(d);
}
