/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network coordinates (Vivaldi with height, adjustment and gravity, as Serf computes them): where
 * this node is, from round trips to others. Seconds.
 */
#ifndef MUSTER_GOSSIPD_CORE_VIVALDI_H
#define MUSTER_GOSSIPD_CORE_VIVALDI_H

#include "common/base/buf.h"
#include "common/base/rng.h"

enum { VIVALDI_DIMENSIONS = 8, VIVALDI_WINDOW = 20, VIVALDI_LATENCIES = 3 };

struct vivaldi_coordinate {
	double vec[VIVALDI_DIMENSIONS];
	double error, adjustment, height;
};

/* The newest round trips to one peer: the median of them counts. */
struct vivaldi_latencies {
	double samples[VIVALDI_LATENCIES];
	uint8_t count, next;
};

struct vivaldi {
	struct vivaldi_coordinate at;
	double adjustments[VIVALDI_WINDOW];
	uint32_t adjustments_next;
	uint32_t resets;
};

void vivaldi_init(struct vivaldi *v);
/* ST_INVALID: not finite, or a round trip outside 0..10 s. */
int vivaldi_update(struct vivaldi *v, struct vivaldi_latencies *peer,
	const struct vivaldi_coordinate *other, double rtt, struct rng *rng);
/* Seconds, of whole nanoseconds. */
double vivaldi_distance(const struct vivaldi_coordinate *a, const struct vivaldi_coordinate *b);

/* The payload of an ack: a version byte and a map. Reading: ST_INVALID where it is none. */
void vivaldi_put(const struct vivaldi_coordinate *c, struct buf *out);
int vivaldi_get(struct str payload, struct vivaldi_coordinate *out);

#endif
