-- What the device cannot get back. No row that is written often carries a time of writing: rewriting a row with the bytes
-- it has costs no write.

-- Targets as they came. The body is the authority; it is parsed again at every start.
CREATE TABLE stored_target (
  source TEXT NOT NULL CHECK (source <> ''), -- apiEndpoint, or 'local'
  uuid   TEXT NOT NULL,                      -- the device it is for
  etag   TEXT,
  body   TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (source, uuid)
) STRICT;

-- The release an app runs entirely, with the app as the target described it then: what is restored when a later release
-- fails its trial.
CREATE TABLE settled_release (
  app_uuid       TEXT NOT NULL PRIMARY KEY CHECK (app_uuid <> ''),
  app_id         INTEGER NOT NULL CHECK (app_id >= 0),
  release_commit TEXT NOT NULL,
  fingerprint    TEXT NOT NULL, -- of the document: the same one is not written again
  document       TEXT NOT NULL CHECK (json_valid(document))
) STRICT;

-- A release that is being tried.
CREATE TABLE trial (
  app_uuid       TEXT NOT NULL PRIMARY KEY CHECK (app_uuid <> ''),
  release_commit TEXT NOT NULL,
  starts         INTEGER NOT NULL CHECK (starts >= 0) -- of the agent during the trial
) STRICT, WITHOUT ROWID;

-- A release that failed its trial, until the target asks for another.
CREATE TABLE rejected_release (
  app_uuid       TEXT NOT NULL PRIMARY KEY CHECK (app_uuid <> ''),
  release_commit TEXT NOT NULL,
  why            TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Apps that left the target while something of them is still there.
CREATE TABLE departed_app (
  app_id      INTEGER NOT NULL PRIMARY KEY CHECK (app_id >= 0),
  departed_ms INTEGER NOT NULL -- since 1970; starts the grace period of its volumes
) STRICT;

-- Services whose stop was asked for through the local API.
CREATE TABLE stopped_service (
  app_id  INTEGER NOT NULL CHECK (app_id >= 0),
  service TEXT NOT NULL CHECK (service <> ''),
  PRIMARY KEY (app_id, service)
) STRICT, WITHOUT ROWID;

-- Images the agent pulled or adopted: only these does it ever remove.
CREATE TABLE image (
  reference  TEXT NOT NULL PRIMARY KEY CHECK (reference <> ''),
  engine_id  TEXT NOT NULL,
  app_uuid   TEXT NOT NULL,
  service    TEXT NOT NULL,
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
  pulled_ms  INTEGER -- since 1970; NULL when the clock was not set
) STRICT, WITHOUT ROWID;

-- Keys of the local API: one for each service that asks for one, and (both NULL) the global one.
CREATE TABLE api_key (
  app_id  INTEGER CHECK (app_id >= 0),
  service TEXT CHECK (service <> ''),
  key     TEXT NOT NULL UNIQUE CHECK (length(key) = 32 AND key NOT GLOB '*[^0-9a-f]*'),
  CHECK ((app_id IS NULL) = (service IS NULL))
) STRICT;
-- NULLs are distinct to UNIQUE, so the owner is made of values that cannot be there.
CREATE UNIQUE INDEX api_key_owner ON api_key (ifnull(app_id, -1), ifnull(service, ''));

-- Everything else that is one value with a name.
CREATE TABLE value (
  name  TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
