/* sign.c: shared access signatures and connection strings; see sign.h. */
#include "sign.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "msg.h"

int
sign_unbase64(struct buf *into, const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text), data = strspn(text, digits);
	unsigned char *at;
	int n;

	if (len % 4 || len - data > 2 || (len && data == 0) ||
	    strspn(text + data, "=") != len - data)
		return -1;
	if (len == 0)
		return 0;
	buf_reserve(into, len);
	at = (unsigned char *)into->at + into->len;
	n = EVP_DecodeBlock(at, (const unsigned char *)text, (int)len);
	if (n < 0)
		return -1;
	/* OpenSSL counts the padding as bytes. */
	into->len += (size_t)n - (len - data);
	into->at[into->len] = '\0';
	return 0;
}

int
sign_hub(struct buf *into, const char *resource, const char *key,
    const char *policy, long expiry)
{
	struct buf raw = BUF_INIT, uri = BUF_INIT, text = BUF_INIT;
	struct buf sig = BUF_INIT;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	int rc = -1;

	if (!*key || sign_unbase64(&raw, key) != 0)
		goto out;
	buf_url(&uri, resource, strlen(resource));
	buf_printf(&text, "%s\n%ld", uri.at ? uri.at : "", expiry);
	if (!HMAC(EVP_sha256(), raw.at, (int)raw.len,
		(const unsigned char *)text.at, text.len, mac, &n))
		goto out;
	buf_base64(&sig, mac, n);
	buf_printf(into, "SharedAccessSignature sr=%s&sig=", uri.at);
	buf_url(into, sig.at, sig.len);
	buf_printf(into, "&se=%ld", expiry);
	if (policy) {
		buf_text(into, "&skn=");
		buf_url(into, policy, strlen(policy));
	}
	rc = 0;
out:
	OPENSSL_cleanse(mac, sizeof mac);
	buf_wipe(&raw);
	buf_wipe(&text);
	buf_wipe(&sig);
	buf_free(&uri);
	return rc;
}

/* Parts are cut at ';', name and value at the first '=': keys end in '='
 * (CONTRACT 4.3). */
char *
sign_part(const char *connection_string, const char *name)
{
	size_t want = strlen(name);

	for (const char *p = connection_string; *p;) {
		size_t len = strcspn(p, ";");
		size_t n;

		while (len && (*p == ' ' || *p == '\t')) {
			p++;
			len--;
		}
		n = strcspn(p, "=;");
		if (n == want && n < len && strncasecmp(p, name, n) == 0)
			return xstrndup(p + n + 1, len - n - 1);
		p += len + (p[len] == ';');
	}
	return NULL;
}
