/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations in Go's syntax (declared in str.h), with Go's error texts, because Consul's clients see
 * them.
 */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"

static const struct {
	const char *name;
	int64_t ns;
} units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "\xc2\xb5s", 1000 },
	{ "\xce\xbcs", 1000 },
	{ "ms", 1000000 },
	{ "s", 1000000000 },
	{ "m", 60 * 1000000000LL },
	{ "h", 3600 * 1000000000LL },
};

static int invalid(struct str whole, struct buf *why)
{
	if (why) {
		buf_printf(why, "time: invalid duration \"" STR_FMT "\"", STR_ARG(whole));
	}
	return ST_INVALID;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads "12.5" from the front of *s into whole units and a fraction of scale. */
static int number_take(struct str *s, int64_t *whole_out, double *fraction_out)
{
	size_t i = 0, start;
	int64_t whole = 0;
	double fraction = 0, scale = 1;

	for (; i < s->n && is_digit(s->p[i]); i++) {
		if (__builtin_mul_overflow(whole, 10, &whole) ||
			__builtin_add_overflow(whole, s->p[i] - '0', &whole)) {
			return ST_INVALID;
		}
	}
	start = i;
	if (i < s->n && s->p[i] == '.') {
		for (i++; i < s->n && is_digit(s->p[i]); i++) {
			scale /= 10;
			fraction += (s->p[i] - '0') * scale;
		}
		if (start == 0 && i == 1) {
			return ST_INVALID;
		}
	} else if (i == 0) {
		return ST_INVALID;
	}
	*s = str_skip(*s, i);
	*whole_out = whole;
	*fraction_out = fraction;
	return 0;
}

static int unit_take(struct str *s, struct str whole, int64_t *unit_out, struct buf *why)
{
	size_t n = 0;
	struct str name;

	while (n < s->n && s->p[n] != '.' && !is_digit(s->p[n])) {
		n++;
	}
	name = str_cut(*s, n);
	*s = str_skip(*s, n);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (str_is(name, units[i].name)) {
			*unit_out = units[i].ns;
			return 0;
		}
	}
	if (why && n == 0) {
		buf_printf(why, "time: missing unit in duration \"" STR_FMT "\"", STR_ARG(whole));
	} else if (why) {
		buf_printf(why, "time: unknown unit \"" STR_FMT "\" in duration \"" STR_FMT "\"",
			STR_ARG(name), STR_ARG(whole));
	}
	return ST_INVALID;
}

int duration_parse(struct str whole, int64_t *ns_out, struct buf *why)
{
	struct str s = whole;
	bool negative = s.n && s.p[0] == '-';
	int64_t total = 0;

	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
		s = str_skip(s, 1);
	}
	if (str_is(s, "0")) {
		*ns_out = 0;
		return 0;
	}
	if (s.n == 0) {
		return invalid(whole, why);
	}
	while (s.n) {
		int64_t count, unit;
		double fraction;
		int r = number_take(&s, &count, &fraction);

		if (r) {
			return invalid(whole, why);
		}
		r = unit_take(&s, whole, &unit, why);
		if (r) {
			return r;
		}
		if (__builtin_mul_overflow(count, unit, &count) ||
			__builtin_add_overflow(total, count, &total) ||
			__builtin_add_overflow(total, (int64_t)(fraction * (double)unit), &total)) {
			return invalid(whole, why);
		}
	}
	*ns_out = negative ? -total : total;
	return 0;
}

/* Appends whole.fraction without trailing zeros; unit = number of ns in one. */
static void fraction_render(struct buf *out, uint64_t ns, uint64_t unit, const char *name)
{
	uint64_t rest = ns % unit;

	buf_put_dec(out, ns / unit);
	if (rest) {
		char digits[16];
		size_t n = 0;

		for (uint64_t scale = unit / 10; rest; scale /= 10) {
			digits[n++] = (char)('0' + rest / scale);
			rest %= scale;
		}
		buf_put_char(out, '.');
		buf_put(out, digits, n);
	}
	buf_put_cstr(out, name);
}

void duration_render(struct buf *out, int64_t signed_ns)
{
	uint64_t ns = signed_ns < 0 ? -(uint64_t)signed_ns : (uint64_t)signed_ns;
	uint64_t minutes = ns / (60 * 1000000000ULL);

	if (ns == 0) {
		buf_put_lit(out, "0s");
		return;
	}
	if (signed_ns < 0) {
		buf_put_char(out, '-');
	}
	if (ns < 1000) {
		fraction_render(out, ns, 1, "ns");
	} else if (ns < 1000000) {
		fraction_render(out, ns, 1000, "\xc2\xb5s");
	} else if (ns < 1000000000) {
		fraction_render(out, ns, 1000000, "ms");
	} else {
		if (minutes >= 60) {
			buf_put_dec(out, minutes / 60);
			buf_put_char(out, 'h');
		}
		if (minutes) {
			buf_put_dec(out, minutes % 60);
			buf_put_char(out, 'm');
		}
		fraction_render(out, ns % (60 * 1000000000ULL), 1000000000, "s");
	}
}
