DROP TABLE value;
DROP TABLE api_key;
DROP TABLE image;
DROP TABLE stopped_service;
DROP TABLE departed_app;
DROP TABLE settled_release;
DROP TABLE stored_target;
