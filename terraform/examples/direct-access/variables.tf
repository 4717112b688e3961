variable "bucket" {
  description = "Name of the bucket to read."
  type        = string
}

variable "deletion_protection" {
  description = "Whether a destroy of the pool, its provider and the accounts is refused. Default: true."
  type        = bool
  default     = true
}

variable "jwks_file" {
  description = "Path of the file with the public keys, as `refresher keys jwks` prints them. Default: jwks.json."
  type        = string
  default     = "jwks.json"
}

variable "project_id" {
  description = "Id of the project that owns the pool."
  type        = string
}
