DROP VIEW app;
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
DROP VIEW device_config;
CREATE VIEW device_config AS
SELECT target.source, target.uuid AS device_uuid, variable.key AS name, variable.value
FROM stored_target AS target
JOIN json_each(target.body) AS device ON device.key = target.uuid
JOIN json_each(CASE device.type WHEN 'object' THEN device.value END, '$.config') AS variable
WHERE variable.key IS NOT NULL;
