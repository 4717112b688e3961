variable "administrators" {
  description = "Principals that may create, change and undelete providers, in the form of deny policies."
  type        = set(string)
}

variable "deletion_protection" {
  description = "Whether a destroy of the pool, its provider and the accounts is refused. Default: true."
  type        = bool
  default     = true
}

variable "dry_run" {
  description = "Whether the organisation policies only log what they would refuse. Default: true."
  type        = bool
  default     = true
}

variable "jwks_file" {
  description = "Path of the file with the public keys, as `refresher keys jwks` prints them. Default: jwks.json."
  type        = string
  default     = "jwks.json"
}

variable "notification_channels" {
  description = "Resource names of the channels that the alert is sent to. Default: none."
  type        = list(string)
  default     = []
}

variable "project_id" {
  description = "Id of the project that owns the pool."
  type        = string
}
