/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer of the other node, on its way to the client. A short one waits until it is whole, and
 * can be asked for again until then. A long one is passed on as it comes, and no faster than the
 * client takes it; when it breaks off then, so does the connection of the client.
 */
#include "common/sys/clock.h"
#include "httpd/engine.h"
#include "httpd/forward.h"

void forward_on_body(void *arg, struct str piece)
{
	buf_put_str(&((struct line *)arg)->forward->body, piece);
}

/* Head and status go out as they came. */
static void answer_as_told(struct exchange *x, const struct forward *f)
{
	x->answer.lines = arena_str(&x->arena, buf_str(&f->fields));
	x->is_passed_on = true;
}

/* ---- long ones ---- */

static enum stream_state produce(struct exchange *x, struct buf *out)
{
	struct forward *f = x->state;

	if (f->body.n) {
		f->heard = clock_mono(); /* while its client was slow, nothing more was asked for */
		buf_put_str(out, buf_str(&f->body));
		buf_trim(&f->body, AHEAD_MAX);
		if (f->line) {
			http_link_pause(&f->line->http, false);
		}
		return STREAM_MORE;
	}
	if (f->complete) {
		return STREAM_END;
	}
	if (f->cut || mono_diff_ms(clock_mono(), f->heard) >= ANSWER_STALL_MS) {
		return STREAM_FAIL;
	}
	return STREAM_WAIT;
}

static void close_stream(struct exchange *x)
{
	forward_free(x->state);
}

static void run_stream(struct exchange *x, void *arg)
{
	struct forward *f = arg;
	const struct stream stream = {
		.produce = produce,
		.close = close_stream,
		.size = (int64_t)f->line->http.response.length,
		.wait_ms = ANSWER_STALL_MS,
		.content_type = STR(""),
	};

	f->streaming = true;
	f->heard = clock_mono();
	f->forwards->counts.streamed++;
	x->state = f;
	answer_as_told(x, f);
	answer_stream(x, f->line->http.response.status, &stream);
}

static void stream_progress(struct forward *f)
{
	f->heard = clock_mono();
	if (f->line && f->body.n >= AHEAD_MAX) {
		http_link_pause(&f->line->http, true);
	}
	exchange_stream_wake(f->x); /* f may be gone */
}

void forward_on_progress(void *arg)
{
	struct forward *f = ((struct line *)arg)->forward;
	const struct response *r = &f->line->http.response;

	if (f->streaming) {
		stream_progress(f);
	} else if (f->body.n >= PASS_MAX && r->has_length && !f->then) {
		loop_timer_stop(&f->timer);
		exchange_continue(f->x, run_stream, f);
	} else if (f->body.n >= WHOLE_MAX) {
		forward_fail(f, "the answer of another server is too large");
	}
}

void forward_cut(struct forward *f)
{
	f->cut = true;
	exchange_stream_wake(f->x);
}

/* ---- short ones ---- */

static void run_pass(struct exchange *x, void *arg)
{
	struct forward *f = arg;

	buf_put_str(exchange_body(x), buf_str(&f->body));
	answer_as_told(x, f);
	answer_raw(x, f->status, STR(""));
}

static void run_then(struct exchange *x, void *arg)
{
	const struct forward *f = arg;
	const struct peer_answer answer = { .status = f->status, .body = buf_str(&f->body) };

	f->then(x, &answer);
}

void forward_pass(struct forward *f)
{
	f->status = f->line->http.response.status;
	line_done(take(f->line));
	loop_timer_stop(&f->timer);
	if (f->streaming) {
		f->complete = true;
		stream_progress(f);
		return;
	}
	/* x may ask for more now, or be gone behind this. */
	exchange_continue(f->x, f->then ? run_then : run_pass, f);
	forward_free(f);
}
