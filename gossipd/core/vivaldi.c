/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The computation of vivaldi.h, in the order of operations that gives Serf's numbers exactly.
 */
#include "gossipd/core/vivaldi.h"

#include <math.h>

#include "gossipd/core/pack.h"

enum { VERSION = 1 };

static const double error_max = 1.5, ce = 0.25, cc = 0.25, height_min = 1e-5, zero = 1e-6,
		    gravity_rho = 150.0, rtt_max = 10.0, ns_per_s = 1e9;

static void coordinate_init(struct vivaldi_coordinate *c)
{
	*c = (struct vivaldi_coordinate) { .error = error_max, .height = height_min };
}

void vivaldi_init(struct vivaldi *v)
{
	*v = (struct vivaldi) { .resets = 0 };
	coordinate_init(&v->at);
}

static bool is_valid(const struct vivaldi_coordinate *c)
{
	bool valid = isfinite(c->error) && isfinite(c->adjustment) && isfinite(c->height);

	for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
		valid &= isfinite(c->vec[i]) != 0;
	}
	return valid;
}

static double magnitude(const double *v)
{
	double sum = 0;

	for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
		sum += v[i] * v[i];
	}
	return sqrt(sum);
}

static double raw_distance(const struct vivaldi_coordinate *a, const struct vivaldi_coordinate *b)
{
	double difference[VIVALDI_DIMENSIONS];

	for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
		difference[i] = a->vec[i] - b->vec[i];
	}
	return magnitude(difference) + a->height + b->height;
}

double vivaldi_distance(const struct vivaldi_coordinate *a, const struct vivaldi_coordinate *b)
{
	double distance = raw_distance(a, b), adjusted = distance + a->adjustment + b->adjustment;

	if (adjusted > 0) {
		distance = adjusted;
	}
	return (double)(int64_t)(distance * ns_per_s) / ns_per_s;
}

/* The unit vector from b to a, and how far they are from each other (0: it is any direction). */
static double direction(const double *a, const double *b, struct rng *rng, double *unit)
{
	double distance;

	for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
		unit[i] = a[i] - b[i];
	}
	distance = magnitude(unit);
	if (distance > zero) {
		for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
			unit[i] *= 1.0 / distance;
		}
		return distance;
	}
	do {
		for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
			unit[i] = (double)(rng_u64(rng) >> 11) / (double)(1ull << 53) - 0.5;
		}
		distance = magnitude(unit);
	} while (distance <= zero);
	for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
		unit[i] *= 1.0 / distance;
	}
	return 0;
}

static void apply_force(struct vivaldi_coordinate *c, const struct vivaldi_coordinate *other,
	double force, struct rng *rng)
{
	double unit[VIVALDI_DIMENSIONS];
	double distance = direction(c->vec, other->vec, rng, unit);

	for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
		c->vec[i] += unit[i] * force;
	}
	if (distance > zero) {
		c->height = (c->height + other->height) * force / distance + c->height;
		c->height = fmax(c->height, height_min);
	}
}

static double median(struct vivaldi_latencies *peer, double rtt)
{
	double sorted[VIVALDI_LATENCIES];
	int count;

	peer->samples[peer->next] = rtt;
	peer->next = (uint8_t)((peer->next + 1) % VIVALDI_LATENCIES);
	peer->count = (uint8_t)min_of(peer->count + 1, (int)VIVALDI_LATENCIES);
	count = peer->count;
	memcpy(sorted, peer->samples, sizeof(sorted));
	for (int i = 1; i < count; i++) {
		for (int k = i; k > 0 && sorted[k - 1] > sorted[k]; k--) {
			double swapped = sorted[k];

			sorted[k] = sorted[k - 1];
			sorted[k - 1] = swapped;
		}
	}
	return sorted[count / 2];
}

static void move(
	struct vivaldi *v, const struct vivaldi_coordinate *other, double rtt, struct rng *rng)
{
	struct vivaldi_coordinate *c = &v->at;
	double distance = vivaldi_distance(c, other), r = fmax(rtt, zero);
	double wrongness = fabs(distance - r) / r;
	double total = fmax(c->error + other->error, zero), weight = c->error / total;

	c->error = ce * weight * wrongness + c->error * (1.0 - ce * weight);
	c->error = fmin(c->error, error_max);
	apply_force(c, other, cc * weight * (r - distance), rng);
}

static void adjust(struct vivaldi *v, const struct vivaldi_coordinate *other, double rtt)
{
	double sum = 0;

	v->adjustments[v->adjustments_next] = rtt - raw_distance(&v->at, other);
	v->adjustments_next = (v->adjustments_next + 1) % VIVALDI_WINDOW;
	for (int i = 0; i < VIVALDI_WINDOW; i++) {
		sum += v->adjustments[i];
	}
	v->at.adjustment = sum / (2.0 * VIVALDI_WINDOW);
}

/* Keeps the whole from drifting away. */
static void gravitate(struct vivaldi *v, struct rng *rng)
{
	struct vivaldi_coordinate origin;
	double pull;

	coordinate_init(&origin);
	pull = vivaldi_distance(&origin, &v->at) / gravity_rho;
	apply_force(&v->at, &origin, -1.0 * pull * pull, rng);
}

int vivaldi_update(struct vivaldi *v, struct vivaldi_latencies *peer,
	const struct vivaldi_coordinate *other, double rtt, struct rng *rng)
{
	if (!is_valid(other) || !(rtt >= 0) || rtt > rtt_max) {
		return ST_INVALID;
	}
	rtt = median(peer, rtt);
	move(v, other, rtt, rng);
	adjust(v, other, rtt);
	gravitate(v, rng);
	if (!is_valid(&v->at)) {
		coordinate_init(&v->at);
		v->resets++;
	}
	return 0;
}

/* -------- on the wire -------- */

struct wire {
	double adjustment, error, height;
	struct str vec;
};

static const struct pack_field fields[] = {
	{ "Adjustment", PACK_DOUBLE, 2, false, offsetof(struct wire, adjustment) },
	{ "Error", PACK_DOUBLE, 1, false, offsetof(struct wire, error) },
	{ "Height", PACK_DOUBLE, 3, false, offsetof(struct wire, height) },
	{ "Vec", PACK_ANY, 0, false, offsetof(struct wire, vec) },
};
static const struct pack_schema schema = PACK_SCHEMA(fields);

void vivaldi_put(const struct vivaldi_coordinate *c, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf vec = { 0 };
	struct wire w = { .adjustment = c->adjustment, .error = c->error, .height = c->height };

	pack_array(&vec, VIVALDI_DIMENSIONS);
	for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
		pack_double(&vec, c->vec[i]);
	}
	w.vec = buf_str(&vec);
	buf_put_u8(out, VERSION);
	pack_struct(out, &schema, &w);
}

int vivaldi_get(struct str payload, struct vivaldi_coordinate *out)
{
	struct cursor c = cursor_of(payload), vec;
	uint8_t version = cursor_u8(&c);
	struct wire w = { .vec = STR_NONE };

	unpack_struct(&c, &schema, &w);
	vec = cursor_of(w.vec);
	if (c.bad || version != VERSION || unpack_array(&vec) != VIVALDI_DIMENSIONS) {
		return ST_INVALID;
	}
	for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
		out->vec[i] = unpack_double(&vec);
	}
	out->adjustment = w.adjustment;
	out->error = w.error;
	out->height = w.height;
	return vec.bad || !is_valid(out) ? ST_INVALID : 0;
}
