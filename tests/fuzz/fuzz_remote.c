/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote execution: an event's payload on the first line, the order on the second, output behind
 * it. Whatever comes, one request at a time is asked for, its path is clean, and an end is reached.
 */
#include "tests/fuzz/fuzz.h"

#include "checkd/core/remote.h"

static struct remote remote;
static bool asked, done;

static void step(struct remote_event e)
{
	struct remote_update u;

	e.now = (struct mono) { NS_PER_S };
	remote_step(&remote, &e, &u);
	must(!u.ask || !asked);
	asked = asked || u.ask;
	done = done || u.done;
	for (size_t i = 0; u.ask && i < u.path.n; i++) {
		must((unsigned char)u.path.p[i] > ' ' && (unsigned char)u.path.p[i] < 0x7f);
	}
}

static void answer(int status, struct str body)
{
	asked = false;
	step((struct remote_event) { .type = REMOTE_ANSWERED, .status = status, .text = body });
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest, payload = str_split(str_n(data, size), '\n', &rest), spec;

	spec = str_split(rest, '\n', &rest);
	asked = done = false;
	remote_init(&remote, STR("n 1/../x"));
	step((struct remote_event) { .type = REMOTE_BEGIN, .text = payload, .again = size % 2 });
	if (asked && size % 2) {
		answer(404, STR(""));
	}
	if (asked) {
		answer(200, spec);
	}
	if (asked) {
		answer(200, STR("true"));
		must(done || remote.state == REMOTE_RUNS);
		step((struct remote_event) { .type = REMOTE_PRINTED, .text = rest });
		step((struct remote_event) { .type = REMOTE_ENDED, .code = (int64_t)size });
	}
	for (int i = 0; asked; i++) {
		must(i <= REMOTE_CHUNKS_MAX + 2);
		answer(200, STR("true"));
	}
	must(done);
	remote_fini(&remote);
	return 0;
}
