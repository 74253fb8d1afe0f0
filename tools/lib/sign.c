/* sign.c: shared access signatures and connection strings; see sign.h. */
#include "sign.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

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
sign_mac(const struct buf *key, const struct buf *text, struct buf *into)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (!HMAC(EVP_sha256(), key->at, (int)key->len,
		(const unsigned char *)text->at, text->len, mac, &n))
		return -1;
	buf_base64(into, mac, n);
	OPENSSL_cleanse(mac, sizeof mac);
	return 0;
}

int
sign_hub(struct buf *into, const char *resource, const char *key,
    const char *policy, long expiry)
{
	struct buf raw = BUF_INIT, uri = BUF_INIT, text = BUF_INIT;
	struct buf sig = BUF_INIT;
	int rc = -1;

	if (!*key || sign_unbase64(&raw, key) != 0)
		goto out;
	buf_url(&uri, resource, strlen(resource));
	buf_printf(&text, "%s\n%ld", uri.at ? uri.at : "", expiry);
	if (sign_mac(&raw, &text, &sig) != 0)
		goto out;
	buf_printf(into, "SharedAccessSignature sr=%s&sig=", uri.at);
	buf_url(into, sig.at, sig.len);
	buf_printf(into, "&se=%ld", expiry);
	if (policy) {
		buf_text(into, "&skn=");
		buf_url(into, policy, strlen(policy));
	}
	rc = 0;
out:
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

static int
sign_rs256(struct buf *jwt, EVP_PKEY *key)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *sig = NULL;
	size_t n = 0;
	int rc = -1;

	if (ctx &&
	    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestSign(ctx, NULL, &n, (unsigned char *)jwt->at, jwt->len) ==
		1) {
		sig = xmalloc(n);
		if (EVP_DigestSign(ctx, sig, &n, (unsigned char *)jwt->at,
			jwt->len) == 1) {
			buf_char(jwt, '.');
			buf_base64url(jwt, sig, n);
			rc = 0;
		}
	}
	free(sig);
	EVP_MD_CTX_free(ctx);
	return rc;
}

/* Head and claims of the assertion that stands for the client's secret. */
static int
write_jwt(
    struct buf *jwt, X509 *cert, const char *url, const char *client, long now)
{
	struct buf head = BUF_INIT, claims = BUF_INIT;
	unsigned char id[16], print[SHA_DIGEST_LENGTH];
	unsigned int n = sizeof print;

	if (RAND_bytes(id, sizeof id) != 1 ||
	    X509_digest(cert, EVP_sha1(), print, &n) != 1)
		return -1;
	buf_text(&head, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"x5t\":\"");
	buf_base64url(&head, print, n);
	buf_text(&head, "\"}");
	buf_printf(&claims,
	    "{\"aud\":\"%s\",\"iss\":\"%s\",\"sub\":\"%s\",\"nbf\":%ld,"
	    "\"exp\":%ld,\"jti\":\"",
	    url, client, client, now - 60, now + 600);
	buf_base64url(&claims, id, sizeof id);
	buf_text(&claims, "\"}");
	buf_base64url(jwt, head.at, head.len);
	buf_char(jwt, '.');
	buf_base64url(jwt, claims.at, claims.len);
	buf_free(&head);
	buf_free(&claims);
	return 0;
}

int
sign_jwt(struct buf *jwt, struct span pem, const char *url, const char *client,
    long now)
{
	BIO *in = BIO_new_mem_buf(pem.at, (int)pem.len);
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int rc = -1;

	/* No question for a pass phrase: nobody may sit there. */
	key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)"") : NULL;
	BIO_free(in);
	in = BIO_new_mem_buf(pem.at, (int)pem.len);
	cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	BIO_free(in);
	if (key && cert && EVP_PKEY_base_id(key) == EVP_PKEY_RSA &&
	    write_jwt(jwt, cert, url, client, now) == 0)
		rc = sign_rs256(jwt, key);
	ERR_clear_error();
	EVP_PKEY_free(key);
	X509_free(cert);
	return rc;
}

void
secret_free(char *text)
{
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}
