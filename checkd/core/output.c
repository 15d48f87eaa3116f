/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words: of statuses and of outputs that were too long.
 */
#include "checkd/core/registry.h"

static const char *const status_names[] = { "passing", "warning", "critical" };

const char *check_status_name(enum check_status s)
{
	return status_names[s];
}

int check_status_parse(struct str word, enum check_status *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++) {
		if (str_is(word, status_names[i])) {
			*out = (enum check_status)i;
			return 0;
		}
	}
	return ST_INVALID;
}

enum check_kind check_kind_of(const struct check_def *d)
{
	const struct {
		bool named;
		enum check_kind kind;
	} rows[] = {
		{ d->ttl_ns > 0, CHECK_KIND_TTL },
		{ d->http.n > 0, CHECK_KIND_HTTP },
		{ d->tcp.n > 0, CHECK_KIND_TCP },
		{ d->udp.n > 0, CHECK_KIND_UDP },
		{ d->grpc.n > 0, CHECK_KIND_GRPC },
		{ d->h2ping.n > 0, CHECK_KIND_H2PING },
		{ d->docker_container_id.n > 0, CHECK_KIND_DOCKER },
		{ d->os_service.n > 0, CHECK_KIND_OS_SERVICE },
		{ d->args.count > 0, CHECK_KIND_SCRIPT },
		{ d->alias_node.n > 0 || d->alias_service.n > 0, CHECK_KIND_ALIAS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].named) {
			return rows[i].kind;
		}
	}
	return CHECK_KIND_NONE;
}

size_t check_output_max(const struct check_def *d, int64_t agent_max)
{
	int64_t max = agent_max > 0 ? agent_max : REGISTRY_OUTPUT_MAX;

	if (d->output_max_size > 0 && d->output_max_size < max) {
		max = d->output_max_size;
	}
	return (size_t)max;
}

void output_tail(struct buf *out, struct str tail, uint64_t printed_total, size_t size_max)
{
	if (printed_total > size_max) {
		buf_printf(out, "Captured %zu of %llu bytes\n...\n", size_max,
			(unsigned long long)printed_total);
	}
	buf_put_str(out, tail);
}

void output_head(struct buf *out, struct str text, size_t size_max)
{
	buf_put_str(out, str_cut(text, size_max));
	if (text.n > size_max) {
		buf_printf(out, " ... (captured %zu of %zu bytes)", size_max, text.n);
	}
}
