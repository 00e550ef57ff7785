-- What happened, and the stored target as rows for whoever asks the file itself. The body of stored_target stays the
-- authority: the views read it, nothing is kept twice.

-- Runs of the agent that recorded something. A time since boot says nothing without the boot it belongs to.
CREATE TABLE agent_run (
  id              INTEGER PRIMARY KEY,
  boot_id         TEXT NOT NULL, -- the kernel's name of the boot; empty when it gives none
  started_boot_ms INTEGER NOT NULL CHECK (started_boot_ms >= 0),
  agent_version   TEXT NOT NULL CHECK (agent_version <> ''),
  UNIQUE (boot_id, started_boot_ms)
) STRICT;

-- Past states: what was wanted each time it changed, and what was there each time the device settled. The newest of a kind
-- is never removed, so an id is never given twice.
CREATE TABLE snapshot (
  id        INTEGER PRIMARY KEY,
  run_id    INTEGER NOT NULL REFERENCES agent_run (id),
  kind      TEXT NOT NULL CHECK (kind IN ('target', 'current')),
  taken_ms  INTEGER, -- since 1970; NULL when the clock was not set
  boot_ms   INTEGER NOT NULL CHECK (boot_ms >= 0),
  source    TEXT CHECK (source <> ''), -- of a target: where it came from
  shortened INTEGER NOT NULL CHECK (shortened IN (0, 1)), -- 1: a target too long to keep; only releases and images are left
  state     TEXT NOT NULL CHECK (json_valid(state)),
  CHECK ((kind = 'target') = (source IS NOT NULL))
) STRICT;
CREATE INDEX snapshot_of_kind ON snapshot (kind, id);

-- What the agent did, met and waited for. The newest is never removed: a reader goes on after the last id it saw.
CREATE TABLE event (
  id      INTEGER PRIMARY KEY,
  run_id  INTEGER NOT NULL REFERENCES agent_run (id),
  at_ms   INTEGER, -- since 1970, of the last of them; NULL when the clock was not set
  boot_ms INTEGER NOT NULL CHECK (boot_ms >= 0),
  kind    TEXT NOT NULL CHECK (kind IN ('info', 'warning', 'error')),
  app     TEXT,
  service TEXT,
  text    TEXT NOT NULL CHECK (text <> ''),
  count   INTEGER NOT NULL CHECK (count > 0) -- how often it happened since it was last written
) STRICT;

-- What a key of the local API may do, in balena's words: [{"type":"app","appId":5}] or [{"type":"global"}].
ALTER TABLE api_key ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(scopes) AND json_type(scopes) = 'array');
UPDATE api_key SET scopes = CASE WHEN app_id IS NULL THEN json_array(json_object('type', 'global'))
  ELSE json_array(json_object('type', 'app', 'appId', app_id)) END;

-- Apps of the stored targets, with the releases the agent decided on.
CREATE VIEW app AS
SELECT target.source, target.uuid AS device_uuid, app.key AS app_uuid,
  json_extract(app.value, '$.id') AS app_id,
  json_extract(app.value, '$.name') AS name,
  coalesce(json_extract(app.value, '$.class'), 'fleet') AS class,
  coalesce(json_extract(app.value, '$.is_host'), 0) AS is_host,
  settled_release.release_commit AS settled_commit,
  trial.release_commit AS trial_commit,
  rejected_release.release_commit AS rejected_commit,
  app.value AS document
FROM stored_target AS target
JOIN json_each(target.body) AS device ON device.key = target.uuid
JOIN json_each(CASE device.type WHEN 'object' THEN device.value END, '$.apps') AS app
LEFT JOIN settled_release ON settled_release.app_uuid = app.key
LEFT JOIN trial ON trial.app_uuid = app.key
LEFT JOIN rejected_release ON rejected_release.app_uuid = app.key
WHERE app.type = 'object' AND app.key IS NOT NULL;

-- Releases wanted of them.
CREATE VIEW release AS
SELECT app.source, app.app_uuid, app.app_id, app.name AS app, release.key AS release_commit,
  json_extract(release.value, '$.id') AS release_id,
  release.value AS document
FROM app
JOIN json_each(app.document, '$.releases') AS release
WHERE release.type = 'object' AND release.key IS NOT NULL;

-- What each service was at when the device last settled.
CREATE VIEW service_status AS
SELECT app.key AS app_uuid,
  json_extract(app.value, '$.name') AS app,
  service.key AS service,
  json_extract(service.value, '$.status') AS status,
  json_extract(service.value, '$.commit') AS release_commit,
  json_extract(service.value, '$.image') AS image,
  json_extract(service.value, '$.container') AS container,
  snapshot.id AS snapshot_id,
  snapshot.taken_ms
FROM snapshot
JOIN json_each(snapshot.state, '$.apps') AS app
JOIN json_each(app.value, '$.services') AS service
WHERE snapshot.id = (SELECT max(newest.id) FROM snapshot AS newest WHERE newest.kind = 'current')
  AND app.type = 'object' AND service.type = 'object';

-- Services of the wanted releases with their whole configuration, and their status.
CREATE VIEW service AS
SELECT release.source, release.app_uuid, release.app_id, release.app, release.release_commit, service.key AS service,
  json_extract(service.value, '$.id') AS service_id,
  json_extract(service.value, '$.image_id') AS image_id,
  json_extract(service.value, '$.image') AS image,
  json_extract(service.value, '$.environment') AS environment,
  json_extract(service.value, '$.labels') AS labels,
  json_extract(service.value, '$.composition') AS composition,
  (SELECT service_status.status FROM service_status
    WHERE service_status.app_uuid = release.app_uuid AND service_status.service = service.key
      AND service_status.release_commit = release.release_commit) AS status,
  service.value AS document
FROM release
JOIN json_each(release.document, '$.services') AS service
WHERE service.type = 'object' AND service.key IS NOT NULL;

-- Networks and volumes of the wanted releases, as they are defined.
CREATE VIEW network AS
SELECT release.source, release.app_uuid, release.app_id, release.app, release.release_commit, network.key AS network,
  network.value AS definition
FROM release
JOIN json_each(release.document, '$.networks') AS network
WHERE network.key IS NOT NULL;

CREATE VIEW volume AS
SELECT release.source, release.app_uuid, release.app_id, release.app, release.release_commit, volume.key AS volume,
  volume.value AS definition
FROM release
JOIN json_each(release.document, '$.volumes') AS volume
WHERE volume.key IS NOT NULL;

-- Configuration variables of the device.
CREATE VIEW device_config AS
SELECT target.source, target.uuid AS device_uuid, variable.key AS name, variable.value
FROM stored_target AS target
JOIN json_each(target.body) AS device ON device.key = target.uuid
JOIN json_each(CASE device.type WHEN 'object' THEN device.value END, '$.config') AS variable
WHERE variable.key IS NOT NULL;
