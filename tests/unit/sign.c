/* sign.c: the vectors of CONTRACT 11.1, and what connection strings hold. */
#include "sign.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "msg.h"
#include "tap.h"

#define KEY "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

static void
signs(const char *resource, const char *policy, const char *want)
{
	struct buf b = BUF_INIT;
	int rc = sign_hub(&b, resource, KEY, policy, 1700000000);

	check(rc == 0 && !strcmp(b.at, want), want);
	if (rc == 0 && strcmp(b.at, want) != 0)
		printf("# %s\n", b.at);
	buf_free(&b);
}

static void
part(const char *string, const char *name, const char *want)
{
	char *got = sign_part(string, name);
	char *what = xasprintf("%s of '%s'", name, string);

	check(want ? got && !strcmp(got, want) : !got, what);
	free(got);
	free(what);
}

static void
unbase64(const char *text, const char *want)
{
	struct buf b = BUF_INIT;
	char *what = xasprintf("base64 '%s'", text);
	int rc = sign_unbase64(&b, text);

	if (!want)
		check(rc == -1 && b.len == 0, what);
	else
		check(rc == 0 && b.len == strlen(want) &&
			  memcmp(b.at ? b.at : "", want, b.len) == 0,
		    what);
	buf_free(&b);
	free(what);
}

/* A key and a certificate of it, as PEM. */
static EVP_PKEY *
make_pem(struct buf *pem, char print[21])
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *cert = X509_new();
	BIO *out = BIO_new(BIO_s_mem());
	unsigned int n = 20;
	char *at;
	long len;

	if (!key || !cert || !out)
		bug("no key");
	(void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	(void)X509_set_pubkey(cert, key);
	(void)X509_sign(cert, key, EVP_sha256());
	(void)PEM_write_bio_X509(out, cert);
	(void)PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	len = BIO_get_mem_data(out, &at);
	buf_add(pem, at, (size_t)len);
	(void)X509_digest(cert, EVP_sha1(), (unsigned char *)print, &n);
	BIO_free(out);
	X509_free(cert);
	return key;
}

/* One of the three parts of a JWT, decoded. */
static struct buf
jwt_part(const char *jwt, int which)
{
	struct buf text = BUF_INIT, raw = BUF_INIT;

	while (which--)
		jwt = strchr(jwt, '.') + 1;
	buf_add(&text, jwt, strcspn(jwt, "."));
	for (size_t i = 0; i < text.len; i++)
		text.at[i] = text.at[i] == '-'   ? '+'
			     : text.at[i] == '_' ? '/'
						 : text.at[i];
	while (text.len % 4)
		buf_char(&text, '=');
	check(sign_unbase64(&raw, text.at) == 0, "a part is base64url");
	buf_free(&text);
	return raw;
}

static void
test_jwt(void)
{
	struct buf pem = BUF_INIT, jwt = BUF_INIT, part, want = BUF_INIT;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	char print[21];
	EVP_PKEY *key = make_pem(&pem, print);
	size_t head;

	check(sign_jwt(&jwt, buf_peek(&pem), "https://login/t", "c1",
		  1700000000) == 0,
	    "a JWT is signed");
	part = jwt_part(jwt.at, 0);
	buf_text(&want, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"x5t\":\"");
	buf_base64(&want, print, 20);
	for (size_t i = 0; i < want.len; i++)
		want.at[i] = want.at[i] == '+'   ? '-'
			     : want.at[i] == '/' ? '_'
						 : want.at[i];
	want.len = strcspn(want.at, "=");
	check(part.len > 40 && !memcmp(part.at, want.at, 38),
	    "its head names the algorithm and the certificate");
	buf_free(&part);
	part = jwt_part(jwt.at, 1);
	check(strstr(part.at,
		  "\"aud\":\"https://login/t\",\"iss\":\"c1\","
		  "\"sub\":\"c1\",\"nbf\":1699999940,\"exp\":1700000600,"
		  "\"jti\":\""),
	    "its claims say for whom, by whom and how long");
	buf_free(&part);
	part = jwt_part(jwt.at, 2);
	head = (size_t)(strrchr(jwt.at, '.') - jwt.at);
	check(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		  EVP_DigestVerify(ctx, (unsigned char *)part.at, part.len,
		      (unsigned char *)jwt.at, head) == 1,
	    "its signature is right");
	buf_free(&part);
	buf_clear(&jwt);
	pem.at[strlen(pem.at) / 2] = '\0';
	check(sign_jwt(&jwt, span_of(pem.at), "u", "c", 1) == -1,
	    "half a file signs nothing");
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	buf_free(&pem);
	buf_free(&jwt);
	buf_free(&want);
}

int
main(void)
{
	static const char conn[] =
	    "HostName=contoso.azure-devices.net;"
	    "SharedAccessKeyName=iothubowner;SharedAccessKey=" KEY;
	struct buf b = BUF_INIT;

	signs("contoso.azure-devices.net", "iothubowner",
	    "SharedAccessSignature sr=contoso.azure-devices.net&"
	    "sig=WA5mJabSkWWSZo21WRgph5CHQ9FMXwo27EQaik72FJ0%3D&"
	    "se=1700000000&skn=iothubowner");
	signs("contoso.azure-devices.net/devices/dev-1", NULL,
	    "SharedAccessSignature "
	    "sr=contoso.azure-devices.net%2Fdevices%2Fdev-1&"
	    "sig=%2Fa37QTBoqk%2BDuH495BsVETZ6NYq4ElmEapfyWA5BERE%3D&"
	    "se=1700000000");
	check(sign_hub(&b, "h", "no base64!", "p", 1) == -1 && b.len == 0,
	    "a key that is no base64 signs nothing");
	check(sign_hub(&b, "h", "", "p", 1) == -1, "nor does an empty one");

	part(conn, "HostName", "contoso.azure-devices.net");
	part(conn, "sharedaccesskeyname", "iothubowner");
	part(conn, "SharedAccessKey", KEY);
	part(conn, "DeviceId", NULL);
	part(conn, "Key", NULL);
	part("", "HostName", NULL);
	part("HostName", "HostName", NULL);
	part("HostName=;A=b;", "HostName", "");
	part("A=b;; HostName=c=d==;", "HostName", "c=d==");
	part("XHostName=a;HostName=b", "HostName", "b");

	unbase64("", "");
	unbase64("YQ==", "a");
	unbase64("YWI=", "ab");
	unbase64("YWJj", "abc");
	unbase64("YWJjZA==", "abcd");
	unbase64("YQ", NULL);
	unbase64("YQ=", NULL);
	unbase64("YQ===", NULL);
	unbase64("=", NULL);
	unbase64("====", NULL);
	unbase64("Y===", NULL);
	unbase64("YQ==YQ==", NULL);
	unbase64("YW J", NULL);
	unbase64(" YWJj", NULL);
	unbase64("YWJj\n", NULL);
	unbase64("YW-_", NULL);
	test_jwt();
	return done_testing();
}
