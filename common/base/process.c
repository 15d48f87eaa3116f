/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/process.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

static void words_put(struct buf *out, const char *words)
{
	buf_put_char(out, (char)tolower((unsigned char)words[0]));
	buf_put_cstr(out, words + 1);
}

void process_render_error(struct buf *out, const char *program, int error)
{
	if (error == ENOENT && !strchr(program, '/')) {
		buf_printf(out, "exec: \"%s\": executable file not found in $PATH", program);
		return;
	}
	buf_printf(out, "fork/exec %s: ", program);
	words_put(out, strerror(error));
}

void process_render_end(struct buf *out, int wait_status)
{
	if (WIFSIGNALED(wait_status)) {
		buf_put_lit(out, "signal: ");
		words_put(out, strsignal(WTERMSIG(wait_status)));
		buf_put_cstr(out, WCOREDUMP(wait_status) ? " (core dumped)" : "");
	} else if (WEXITSTATUS(wait_status)) {
		buf_printf(out, "exit status %d", WEXITSTATUS(wait_status));
	}
}
