-- What a hospital has under way is counted when it begins another deposit.
CREATE INDEX bundle_receiving ON bundle (origin) WHERE state = 'receiving';
CREATE INDEX generation_cached ON generation (number) WHERE cached = 1;
