/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers travel as the bits of a double; what JSON cannot say is zero here.
 */
#include "common/msg/coordinate.h"

#include <math.h>

static void number_put(struct jsonw *w, uint64_t bits)
{
	double v;

	memcpy(&v, &bits, sizeof(v));
	jsonw_double(w, isfinite(v) ? v : 0);
}

void coordinate_put(struct jsonw *w, const struct coordinate *c)
{
	const uint64_t vec[] = { c->vec0, c->vec1, c->vec2, c->vec3, c->vec4, c->vec5, c->vec6,
		c->vec7 };

	jsonw_open(w, '{');
	jsonw_keyc(w, "Vec");
	jsonw_open(w, '[');
	for (size_t i = 0; i < ARRAY_SIZE(vec); i++) {
		number_put(w, vec[i]);
	}
	jsonw_close(w, ']');
	jsonw_keyc(w, "Error");
	number_put(w, c->error);
	jsonw_keyc(w, "Adjustment");
	number_put(w, c->adjustment);
	jsonw_keyc(w, "Height");
	number_put(w, c->height);
	jsonw_close(w, '}');
}

void coordinate_render(struct buf *out, const struct coordinate *c)
{
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	jsonw_put_str(&w, "Node", c->node);
	jsonw_put_str(&w, "Segment", c->segment);
	jsonw_keyc(&w, "Coord");
	coordinate_put(&w, c);
	jsonw_close(&w, '}');
}
