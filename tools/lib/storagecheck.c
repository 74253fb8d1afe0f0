/* storagecheck.c: what an answer of a storage account means; see storage.h. */
#include "storageroom.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "arm.h"

static bool
is_other_md5(const struct http_reply *r)
{
	const char *want = http_header(r, "Content-MD5");
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	struct buf is = BUF_INIT;
	bool other;

	if (!want || !EVP_Digest(r->body.at ? r->body.at : "", r->body.len, md,
			 &n, EVP_md5(), NULL))
		return false;
	buf_base64(&is, md, n);
	other = strcmp(is.at, want) != 0;
	buf_free(&is);
	return other;
}

bool
storage_is_odd(const char *method, const struct http_reply *r)
{
	const char *type = http_header(r, "Content-Type");
	struct span body = buf_peek(&r->body);

	if (r->status != 200)
		return false;
	/* What was done is answered with 201 or 202 (CONTRACT 17.3). */
	if (!strcmp(method, "PUT") || !strcmp(method, "DELETE"))
		return true;
	if (type && strcasestr(type, "xml")) {
		while (body.len && strchr(" \r\n", body.at[body.len - 1]))
			body.len--;
		return !body.len || body.at[body.len - 1] != '>';
	}
	return !http_header(r, "ETag") ||
	       (!strcmp(method, "GET") && is_other_md5(r));
}

/* -- errors ------------------------------------------------------------------
 */

static void
decode_xml(struct span s, struct buf *out)
{
	static const struct {
		const char *name;
		char c;
	} known[] = { { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' },
		{ "&quot;", '"' }, { "&apos;", '\'' } };

	buf_text(out, "");
	for (size_t i = 0; i < s.len;) {
		size_t k = 0;

		while (k < 5 && (s.len - i < strlen(known[k].name) ||
				    memcmp(s.at + i, known[k].name,
					strlen(known[k].name)) != 0))
			k++;
		buf_char(out, k < 5 ? known[k].c : s.at[i]);
		i += k < 5 ? strlen(known[k].name) : 1;
	}
}

char *
storage_xml(struct span *at, const char *element)
{
	char *open = xasprintf("<%s>", element),
	     *close = xasprintf("</%s>", element);
	const char *from = memmem(at->at, at->len, open, strlen(open)), *to;
	struct buf out = BUF_INIT;

	if (from) {
		const char *end = at->at + at->len;

		from += strlen(open);
		to = memmem(from, (size_t)(end - from), close, strlen(close));
		if (to) {
			decode_xml(
			    (struct span){ from, (size_t)(to - from) }, &out);
			at->at = to + strlen(close);
			at->len = (size_t)(end - at->at);
		}
	}
	free(open);
	free(close);
	return out.at;
}

static void
add_remedy(
    const struct storage *s, const struct http_reply *r, struct buf *text)
{
	if (http_clock_remedy(r, "account", text))
		return;
	if (s->cred)
		buf_printf(text,
		    " (who is logged in needs the role 'Storage Blob Data "
		    "Contributor' on '%s', which its owner does not have by "
		    "itself; a new one counts after some minutes)",
		    s->account);
	else if (s->sas)
		buf_text(text,
		    " (the SharedAccessSignature in " STORAGE_VARIABLE
		    " has ended or does not permit this: it needs services b, "
		    "resource types sco and permissions rwdlac)");
	else
		buf_text(text,
		    " (the key in " STORAGE_VARIABLE
		    " is not of this account, or key access is switched off "
		    "there: use --storage)");
}

int
storage_check(const struct storage *s, const struct http_reply *r,
    const char *subject, char code[64], struct err *e)
{
	const char *header = http_header(r, "x-ms-error-code");
	struct span body = buf_peek(&r->body);
	struct buf text = BUF_INIT;
	char *named, *message, *masked;
	enum status status = REMOTE_REFUSED;

	code[0] = '\0';
	if (r->status >= 200 && r->status <= 299)
		return 0;
	if (r->status == 0) {
		*e = r->err;
		return -1;
	}
	named = storage_xml(&body, "Code");
	body = buf_peek(&r->body);
	message = storage_xml(&body, "Message");
	(void)snprintf(code, 64, "%s",
	    header && *header ? header
	    : named           ? named
			      : "");
	if (*code)
		buf_text(&text, code);
	else
		buf_printf(&text, "HTTP %d", r->status);
	if (message)
		buf_printf(
		    &text, ": %.*s", (int)strcspn(message, "\r\n"), message);
	while (text.len && strchr(" .", text.at[text.len - 1]))
		text.at[--text.len] = '\0';
	if (r->status == 401 || r->status == 403)
		add_remedy(s, r, &text);
	if (r->status == 404)
		status = ANSWER_NO;
	else if (r->status == 408 || r->status == 429 ||
		 (r->status >= 500 && r->status != 501))
		status = REMOTE_RETRY;
	masked = arm_masked(text.at);
	(void)err_set(e, status, subject, "%s", masked);
	free(masked);
	free(named);
	free(message);
	buf_free(&text);
	return -1;
}
